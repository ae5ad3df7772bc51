"""The first pass over the rows: each is checked once and goes to one of many buckets by its prompt's hash.

Memory does not grow with the rows: a bucket is two files that are appended to, one of fixed-size records and one of
texts, and is small enough to be sorted in memory later (`index.py`). A second set of buckets, by prompt id, finds ids
that stand for two prompts.
"""

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from polar.row_check import Checked, Kind, check
from polar.rows import Problems, Row, list_files, read_rows
from polar.store import Work, map_file

Records = npt.NDArray[np.uint64]
PROMPT, TEXTS, POLICY, WRAPPER, FILE, LINE, START, LENGTHS = 0, 2, 4, 5, 6, 7, 8, 9  # columns; hashes take two
ID_COLUMNS = 6  # id, prompt, file, line
MOST_BUCKETS = 256
BUCKET_BYTES = 64 << 20
EXPANSION = {".gz": 5, ".parquet": 5, ".jsonl": 1}
BUFFER_BYTES = 1 << 21  # of all buckets together
BEAT_ROWS = 1000


@dataclass(kw_only=True, slots=True)
class Scattered:
    """What lies in the buckets."""

    folder: Path
    buckets: int
    columns: int
    files: list[Path]
    policies: dict[str, int]  # in the order in which they were found
    rows: int = 0
    skipped_empty: int = 0

    def records(self, bucket: int) -> Records:
        """The records of one bucket [rows, columns]."""
        return read_records(self.folder / f"{bucket}.records", self.columns)

    def texts(self, bucket: int) -> npt.NDArray[np.uint8]:
        """The texts of one bucket, mapped."""
        return map_file(self.folder / f"{bucket}.texts", np.dtype(np.uint8))

    def remove(self, bucket: int) -> None:
        """Give the disk space of one bucket back."""
        for kind in ("records", "texts"):
            (self.folder / f"{bucket}.{kind}").unlink(missing_ok=True)


class Appender:
    """Appends to many files, a little buffered, none of them kept open."""

    def __init__(self, folder: Path, files: int) -> None:
        self._folder, self._enough = folder, BUFFER_BYTES // files
        self._waiting: dict[str, bytearray] = {}
        self._size: dict[str, int] = {}

    def add(self, name: str, data: bytes) -> int:
        """Append to a file; returns where the data starts in it."""
        start = self._size.get(name, 0)
        self._size[name] = start + len(data)
        waiting = self._waiting.setdefault(name, bytearray())
        waiting += data
        if len(waiting) >= self._enough:
            self._flush(name)
        return start

    def close(self) -> None:
        """Write what is still buffered."""
        for name in self._waiting:
            self._flush(name)

    def _flush(self, name: str) -> None:
        with (self._folder / name).open("ab") as file:
            file.write(self._waiting[name])
        self._waiting[name].clear()


def scatter(path: Path, kind: Kind, choices: tuple[int, int], folder: Path) -> Work[Scattered]:
    """Check all rows and put the good ones into buckets in a folder. `choices` are the wrapper and the seed.

    Rows with an empty output are skipped and counted. Raises DataError that lists malformed rows.
    """
    wrapper, seed = choices
    files = list_files(path)
    found = Scattered(
        folder=folder, buckets=bucket_count(files), columns=LENGTHS + 1 + len(kind.texts), files=files, policies={}
    )
    problems, out = Problems(), Appender(folder, 3 * found.buckets)
    numbers = {file: number for number, file in enumerate(files)}
    pack = struct.Struct(f"<4Q{found.columns - POLICY}q").pack
    for row, one in _good_rows(files, kind, wrapper, problems):
        if kind.policy and not one.texts[0]:
            found.skipped_empty += 1
            continue
        prompt = digest(one.prompt, seed)
        bucket = int.from_bytes(prompt[:8], "little") * found.buckets >> 64
        start = out.add(f"{bucket}.texts", b"".join((one.prompt, *one.texts)))
        hashes = struct.unpack("<4Q", prompt + digest(b"\0".join(one.texts), seed))
        policy = found.policies.setdefault(one.policy, len(found.policies))
        place = (numbers[row.file], row.line)
        record = pack(*hashes, policy, one.wrapper, *place, start, len(one.prompt), *map(len, one.texts))
        out.add(f"{bucket}.records", record)
        if one.prompt_id is not None:
            hashed = digest(one.prompt_id.encode(errors="replace"), 0)
            out.add(f"{hashed[0] % found.buckets}.ids", hashed + prompt + struct.pack("<2Q", *place))
        found.rows += 1
        if found.rows % BEAT_ROWS == 0:
            yield f"read {found.rows} rows, now in {row.file.name}"
    out.close()
    problems.raise_if_any()
    _check_ids(found, kind)
    return found


def bucket_count(files: list[Path]) -> int:
    """Enough buckets for each to hold about 64 MiB of text."""
    size = sum(file.stat().st_size * EXPANSION[file.suffix] for file in files)
    return min(MOST_BUCKETS, 1 + size // BUCKET_BYTES)


def digest(data: bytes, seed: int) -> bytes:
    """16 bytes that stand for a text; what is sorted by them has an order of the run's own."""
    return hashlib.blake2b(data, digest_size=16, key=str(seed).encode()).digest()


def read_records(path: Path, columns: int) -> Records:
    """Fixed-size records of a bucket that may have got none."""
    if not path.exists():
        return np.zeros((0, columns), dtype=np.uint64)
    return np.fromfile(path, dtype=np.uint64).reshape(-1, columns)


def _good_rows(files: list[Path], kind: Kind, wrapper: int, problems: Problems) -> Iterator[tuple[Row, Checked]]:
    for row in read_rows(files, kind.columns, problems):
        try:
            yield row, check(row, kind, wrapper)
        except ValueError as error:
            problems.add(row.where(), str(error))


def _check_ids(found: Scattered, kind: Kind) -> None:
    """DataError when one prompt id stands for several prompts. Removes the buckets by id."""
    problems = Problems()
    for number in range(found.buckets):
        path = found.folder / f"{number}.ids"
        records = read_records(path, ID_COLUMNS)
        path.unlink(missing_ok=True)
        records = records[np.lexsort((records[:, 5], records[:, 4], records[:, 1], records[:, 0]))]
        first = np.append(True, (records[1:, :2] != records[:-1, :2]).any(axis=1))[: len(records)]
        leader = np.flatnonzero(first)[np.cumsum(first) - 1]
        wrong = records[(records[:, 2:4] != records[leader, 2:4]).any(axis=1)]
        for file, line in wrong[:, 4:].tolist():
            where = f"{found.files[file]}:{line}"
            shown = _id_at(found.files[file], line, kind) if problems.wanted() else ""
            problems.add(where, f"prompt_id: {shown!r} stands for another prompt in an earlier row")
    problems.raise_if_any()


def _id_at(file: Path, line: int, kind: Kind) -> str:
    return next(str(row.values["prompt_id"]) for row in read_rows([file], kind.columns, Problems()) if row.line == line)
