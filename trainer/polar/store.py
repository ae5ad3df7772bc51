"""Derived data beside the checkpoints: folders `data-<name>-<hash>/`, built once per run and then only read.

A folder is written under a temporary name and renamed when all of it is on disk, its manifest last, so it is complete
or absent. It is verified when it is opened again, rebuilt when it is damaged, shared by later attempts and any number
of ranks, and removed when the run is done.
"""

import contextlib
import hashlib
import json
import os
import re
import secrets
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
import numpy.typing as npt

from polar import errors
from polar.distributed import Dist
from polar.durable import fsync_path, remove_tree, storage_errors, write_file
from polar.errors import Interrupted, PolarError
from polar.manifest import canonical_hash
from polar.pod import Pod
from polar.sampling import Index
from polar.watch import WATCH

PREFIX = "data-"
TEMPORARY = ".tmp-data-"
FOLDER = re.compile(rf"{PREFIX}[a-z]+-[0-9a-f]{{16}}")  # a folder of another name is the user's
MANIFEST = "manifest.json"
FORMAT_VERSION = 1
BEAT_SECONDS = 5.0
HASHED_WHOLE = 1 << 28
BLOCK, BLOCKS = 1 << 20, 64

T = TypeVar("T")
Work = Generator[str, None, T]  # yields, often, a line on how far it is
Build = Callable[[Path], Work[dict[str, Any]]]


class DataStore:
    """The derived data of one run, below its checkpoint directory. All methods are collective.

    `tell` is called on rank 0 every few seconds of a build with a line for people; `stopping` says, on all ranks alike,
    whether to give up. `pod`: the ranks that share `root`, all when there is none; each pod builds its own data.
    """

    def __init__(
        self, root: Path, dist: Dist, tell: Callable[[str], None] = lambda line: None,
        stopping: Callable[[], bool] = lambda: False, pod: Pod | None = None,
    ) -> None:  # fmt: skip
        self._root, self._dist, self._tell, self._stopping = root, dist, tell, stopping
        self._pod = pod or Pod(rank=dist.rank, ranks=dist.world_size)
        self._used: set[str] = set()
        if self._leads:
            self._remove(lambda name: name.startswith(TEMPORARY))

    @property
    def shard(self) -> tuple[int, int]:
        """Which share of a build's work is this rank's, and how many shares there are."""
        return self._pod.rank, self._pod.ranks

    def ready(self, name: str, key: Callable[[], dict[str, Any]], build: Build) -> Path:
        """The folder of that name and key, built by `build(folder)` unless a good one is there.

        `key`, called on rank 0, returns JSON that says what the content depends on. `build` is called on all ranks and
        may share the work among them; what it returns on rank 0 is noted in the manifest. Raises on all ranks what
        rank 0 raises, StorageFullError among it, and leaves nothing behind then; Interrupted when told to stop.
        """
        with self._agreed() as plan:
            if self._dist.is_main:
                wanted = {**key(), "formatVersion": FORMAT_VERSION}
                name = f"{PREFIX}{name}-{canonical_hash(wanted)[:16]}"
                plan += [name, wanted, f".tmp-{name}-{secrets.token_hex(4)}"]
        name, wanted, temporary = plan
        if self._dist.any(self._leads and not is_good(self._root / name, wanted)):
            self._build(self._root / name, self._root / temporary, wanted, build)
        self._used.add(name)
        return self._root / name

    def remove_stale(self) -> None:
        """Remove folders that were not asked for in this attempt."""
        if self._leads:
            self._remove(lambda name: bool(FOLDER.fullmatch(name)) and name not in self._used)

    def remove_all(self) -> None:
        """Remove every folder: the run is done. Maps that are still open stay readable."""
        self._dist.barrier()
        if self._leads:
            self._remove(lambda name: bool(FOLDER.fullmatch(name)) or name.startswith(TEMPORARY))

    @property
    def _leads(self) -> bool:
        """Whether this rank does what one of those that share a folder does."""
        return self._pod.rank == 0

    def _build(self, folder: Path, temporary: Path, key: dict[str, Any], build: Build) -> None:
        try:
            with self._agreed():
                if self._leads:
                    temporary.mkdir(parents=True)
            self._dist.barrier()
            info = self._together(build(temporary))
            with self._agreed():
                if self._leads:
                    _seal(temporary, key, info or {})
                    remove_tree(folder)
                    temporary.rename(folder)
                    fsync_path(self._root)
            self._dist.barrier()
        except BaseException:
            if self._leads:
                with contextlib.suppress(OSError):
                    remove_tree(temporary)
            raise

    def _together(self, work: Work[T]) -> T | None:
        """Run every rank's part to its end; every few seconds they hear of each other. What this rank's returned."""
        line, result, left = "", None, True
        while True:
            with self._agreed():
                if left:
                    line, result, left = _advance(work, time.monotonic() + BEAT_SECONDS)
            if not self._dist.any(left):
                return result
            WATCH.mark("data")
            if self._stopping():
                raise Interrupted("stopped while the data was being prepared, which will be repeated")
            self._tell(line)

    @contextlib.contextmanager
    def _agreed(self) -> Iterator[list[Any]]:
        """What rank 0 puts into the list is in it on all ranks afterwards, and an error of rank 0 is raised on all.

        An error of another rank is raised there; its peers notice that it is gone.
        """
        outcome: list[Any] = []
        try:
            with storage_errors(self._root, f"preparing data in {self._root}"):
                yield outcome
        except PolarError as error:
            if self._dist.is_main:
                self._dist.broadcast([type(error).__name__, str(error)])
            raise
        outcome[:] = self._dist.broadcast([None, *outcome])
        failure = outcome.pop(0)
        if failure:
            raise getattr(errors, failure, PolarError)(outcome[0])

    def _remove(self, doomed: Callable[[str], bool]) -> None:
        for path in sorted(self._root.iterdir()) if self._root.is_dir() else []:
            if doomed(path.name) and path.is_dir():
                with contextlib.suppress(OSError):
                    remove_tree(path)


def _advance(work: Work[T], until: float) -> tuple[str, T | None, bool]:
    """Work for a while: the newest line, the result if it is done, whether it is not."""
    try:
        line = next(work)
        while time.monotonic() < until:
            line = next(work)
    except StopIteration as end:
        return "waiting for the other ranks", end.value, False
    return line, None, True


def is_good(folder: Path, key: dict[str, Any]) -> bool:
    """Whether the folder is complete, made from `key`, and its files are as they were written."""
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        intact = manifest.pop("selfHash") == canonical_hash(manifest) and manifest["key"] == key
        return intact and all(
            (folder / name).stat().st_size == file["size"] and fingerprint(folder / name) == file["sha256"]
            for name, file in manifest["files"].items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def info_of(folder: Path) -> dict[str, Any]:
    """What `build` noted in the manifest."""
    info: dict[str, Any] = json.loads((folder / MANIFEST).read_bytes())["info"]
    return info


def content_of(folder: Path, names: Sequence[str]) -> str:
    """A hash of what some of a sealed folder's files hold."""
    files = json.loads((folder / MANIFEST).read_bytes())["files"]
    return canonical_hash({name: files[name] for name in names if name in files})


def fingerprint(path: Path) -> str:
    """SHA-256 of a file: of all of it up to 256 MiB, of 64 blocks of 1 MiB spread over it when it is larger."""
    digest = hashlib.sha256()
    size = path.stat().st_size
    whole = size <= HASHED_WHOLE
    starts = range(0, size, BLOCK) if whole else [round(n * (size - BLOCK) / (BLOCKS - 1)) for n in range(BLOCKS)]
    with path.open("rb") as file:
        for start in starts:
            file.seek(start)
            digest.update(file.read(BLOCK))
    return digest.hexdigest()


def map_file(path: Path, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """A file's content, mapped and not read; nothing when it is empty or not there."""
    if not path.exists() or path.stat().st_size == 0:
        return np.zeros(0, dtype=dtype)
    return np.asarray(np.memmap(path, dtype=dtype, mode="r"))


def table(path: Path, columns: int) -> Index:
    """A file of int64 as rows of `columns` numbers, mapped and not read."""
    return map_file(path, np.dtype(np.int64)).reshape(-1, columns)


def open_at(path: Path, start: int) -> BinaryIO:
    """A file, made if it is not there, to be written from a place on; ranks may write different parts of one."""
    file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644), "wb")
    file.seek(start)
    return file


def _seal(folder: Path, key: dict[str, Any], info: dict[str, Any]) -> None:
    names = sorted(path.name for path in folder.iterdir())
    for name in names:
        fsync_path(folder / name)
    files = {n: {"size": (folder / n).stat().st_size, "sha256": fingerprint(folder / n)} for n in names}
    document = {"key": key, "info": info, "files": files}
    write_file(folder / MANIFEST, json.dumps({**document, "selfHash": canonical_hash(document)}).encode())
    fsync_path(folder)
