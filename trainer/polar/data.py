"""Rows of training data on disk, mapped and not read: a policy pool's trajectories, or ranked preference triplets.

`read_rows_of` builds the index once (`ingest.py`, then `index.py`) and opens it. Row r belongs to prompt[r]; its texts
are texts[k * r] .. texts[k * r + k - 1], k = per_row: one output, or reference, chosen and rejected.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from polar.cells import Cells, Pairing
from polar.encode import Wrapper
from polar.errors import DataError
from polar.index import (
    BY_POLICY,
    CELL_COLUMNS,
    CELLS,
    PROMPTS,
    ROW_CELL,
    ROW_FILE,
    ROW_LINE,
    ROW_POLICY,
    ROW_PROMPT,
    ROW_TEXT,
    ROW_WRAPPER,
    ROWS,
    TEXT,
    Indexer,
)  # fmt: skip
from polar.ingest import scatter
from polar.pairs import hold_out
from polar.row_check import Kind
from polar.rows import list_files
from polar.sampling import Index
from polar.store import DataStore, Work, content_of, info_of, map_file, table
from polar.texts import WRAPPERS

PartName = Literal["training", "seen", "unseen"]
BUCKETS = "buckets"


@dataclass(kw_only=True, frozen=True, slots=True)
class Source:
    """Where each row came from."""

    files: list[str]
    file: Index
    line: Index

    def where(self, row: int) -> str:
        """`file:line` of one row."""
        return f"{self.files[self.file[row]]}:{self.line[row]}"


class Texts:
    """Texts in one mapped file; item k * r + j lies between bounds[r, j] and bounds[r, j + 1]."""

    def __init__(self, path: Path, bounds: Index) -> None:
        self._bytes, self._bounds, self._per_row = map_file(path, np.dtype(np.uint8)), bounds, int(bounds.shape[1]) - 1

    def __len__(self) -> int:
        return len(self._bounds) * self._per_row

    def __getitem__(self, item: int) -> str:
        row, part = divmod(int(item), self._per_row)
        start, stop = self._bounds[row, part], self._bounds[row, part + 1]
        return bytes(self._bytes[start:stop]).decode()

    def size_of(self, rows: range) -> int:
        """Bytes of the texts of some rows, about: those from the first one's to the last one's."""
        return int(self._bounds[rows[-1], -1] - self._bounds[rows[0], 0]) if rows else 0

    def __iter__(self) -> Iterator[str]:
        return (self[item] for item in range(len(self)))


@dataclass(kw_only=True, frozen=True, slots=True)
class Rows:
    """The rows of a run in its own order; index arrays are maps of files. `wrapper` counts in WRAPPERS.

    `name` is that of the folder they are kept in; `content` depends on texts, policies and their order alone.
    """

    name: str
    prompts: Texts
    texts: Texts
    per_row: int
    policies: list[str]
    prompt: Index
    policy: Index
    wrapper: Index
    source: Source
    cells: Cells
    parts: dict[str, range]
    references: dict[str, Index]  # rows of a part that can be references
    skipped_empty: int
    skipped_repeated: int
    content: str = ""

    def __len__(self) -> int:
        return len(self.prompt)

    def wrapper_of(self, row: int) -> Wrapper:
        """How a row's prompt and texts are joined."""
        return WRAPPERS[int(self.wrapper[row])]


@dataclass(kw_only=True, frozen=True, slots=True)
class Reading:
    """Which rows to read and how to split them. `percent` of the prompts are held out (0: none), and `policies`."""

    path: str
    kind: Kind
    wrapper: Wrapper
    seed: int
    percent: int
    policies: int = 0
    pairing: Pairing = "samePrompt"

    def key(self) -> dict[str, Any]:
        """What an index depends on: these choices, and names, sizes and times of the files. DataError."""
        stats = [(str(file), file.stat()) for file in list_files(Path(self.path))]
        return {
            "files": [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats],
            "kind": self.kind.name, "wrapper": self.wrapper, "seed": self.seed, "percent": self.percent,
            "policies": self.policies, "pairing": self.pairing,
        }  # fmt: skip


def read_rows_of(reading: Reading, store: DataStore) -> Rows:
    """All rows, in an index that is built unless it is there. Collective.

    Rows with an empty output are skipped and counted, and so are repeated trajectories: a positive that is a copy of
    its reference teaches to look for copies. Prompts of one text are one prompt, whatever their ids. DataError names
    file, line, key, expected and got.
    """
    return open_rows(store.ready("rows", reading.key, lambda folder: _build(reading, folder, store.shard[0] == 0)))


def open_rows(folder: Path) -> Rows:
    """The rows of a finished index."""
    info = info_of(folder)
    rows = _open(folder, info, {name: table(folder / _references(name), 1)[:, 0] for name in info["parts"]})
    return replace(rows, content=content_of(folder, (TEXT, PROMPTS, CELLS)))


def _build(reading: Reading, folder: Path, here: bool) -> Work[dict[str, Any]]:
    """One rank reads the rows."""
    if not here:
        return {}
    buckets = folder / BUCKETS
    buckets.mkdir()
    choices = (WRAPPERS.index(reading.wrapper), reading.seed)
    found = yield from scatter(Path(reading.path), reading.kind, choices, buckets)
    if not found.rows:
        with_output = " with an output" if reading.kind.policy else ""
        raise DataError(f"{reading.path}: expected rows of {_listed(reading.kind.columns)}, found none{with_output}")
    held_out = _hold_out_policies(sorted(found.policies), reading)
    indexer = Indexer(folder, found, held_out, repeats=not reading.kind.policy)
    counts = yield from indexer.write()
    for rest in buckets.iterdir():
        rest.unlink()
    buckets.rmdir()
    info = {
        "files": [str(file) for file in found.files], "policies": indexer.policies, "perRow": len(reading.kind.texts),
        "usable": counts.usable.tolist(), "skippedEmpty": found.skipped_empty, "skippedRepeated": counts.repeated,
        "parts": {},
    }  # fmt: skip
    data = _open(folder, info, {})
    held_out_prompts = _held_out_prompts(counts.prompts, reading.percent)
    parts = _parts(data.prompt, counts.rows_of_seen, held_out_prompts)
    info["parts"] = {name: [part.start, part.stop] for name, part in parts.items()}
    for name, part in parts.items():
        with (folder / _references(name)).open("xb") as out:
            for rows in data.cells.part(part).references(reading.pairing) if reading.kind.policy else ():
                out.write(rows.tobytes())
                yield f"indexed {part.start} of {len(data)} rows"
    return info


def _open(folder: Path, info: dict[str, Any], references: dict[str, Index]) -> Rows:
    rows = table(folder / ROWS, ROW_TEXT + info["perRow"] + 1)
    own = rows[:, ROW_CELL]
    by_policy = table(folder / BY_POLICY, 1)[:, 0]
    return Rows(
        name=folder.name,
        prompts=Texts(folder / TEXT, table(folder / PROMPTS, 2)),
        texts=Texts(folder / TEXT, rows[:, ROW_TEXT:]),
        per_row=info["perRow"],
        policies=info["policies"],
        prompt=rows[:, ROW_PROMPT],
        policy=rows[:, ROW_POLICY],
        wrapper=rows[:, ROW_WRAPPER],
        source=Source(files=info["files"], file=rows[:, ROW_FILE], line=rows[:, ROW_LINE]),
        cells=Cells(table(folder / CELLS, CELL_COLUMNS), own, by_policy, np.array(info["usable"], dtype=np.int64)),
        parts={name: range(*part) for name, part in info["parts"].items()},
        references=references,
        skipped_empty=info["skippedEmpty"],
        skipped_repeated=info["skippedRepeated"],
    )


def _parts(prompt: Index, seen: int, held_out: int) -> dict[str, range]:
    """Ranges of rows: training, held-out prompts with policies of training, held-out prompts with held-out ones."""

    def first_kept(rows: range) -> int:
        return rows.start + bisect_left(rows, held_out, key=lambda row: int(prompt[row]))

    of_seen, of_unseen = range(seen), range(seen, len(prompt))
    border = first_kept(of_seen)
    return {
        "training": range(border, seen),
        "seen": range(border),
        "unseen": range(seen, first_kept(of_unseen)),
    }


def _hold_out_policies(names: list[str], reading: Reading) -> Index:
    if reading.kind.policy and len(names) - reading.policies < 2:
        raise DataError(
            f"expected at least 2 policies for training beside {reading.policies} held out, got {len(names)} in all"
        )
    return hold_out(names, reading.policies, reading.seed)


def _held_out_prompts(prompts: int, percent: int) -> int:
    count = max(1, round(prompts * percent / 100)) if percent else 0
    if count >= prompts:
        raise DataError(f"expected at least 2 prompts to hold out {percent} percent of, got {prompts}")
    return count


def _references(part: str) -> str:
    return f"references-{part}.i64"


def _listed(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"
