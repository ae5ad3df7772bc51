"""Derived data beside the checkpoints: folders `data-<name>-<hash>/`, built once per run by rank 0 and then only read.

A folder is written under a temporary name and renamed when all of it is on disk, its manifest last, so it is complete
or absent. It is verified when it is opened again, rebuilt when it is damaged, shared by later attempts and any number
of ranks, and removed when the run is done.
"""

import contextlib
import hashlib
import json
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from polar import errors
from polar.distributed import Dist
from polar.durable import fsync_path, remove_tree, storage_errors, write_file
from polar.errors import Interrupted, PolarError
from polar.manifest import canonical_hash
from polar.sampling import Index

PREFIX = "data-"
TEMPORARY = ".tmp-data-"
MANIFEST = "manifest.json"
FORMAT_VERSION = 1
BEAT_SECONDS = 5.0
HASHED_WHOLE = 1 << 28
BLOCK, BLOCKS = 1 << 20, 64

Beat = Callable[[str], None]
Build = Callable[[Path, Beat], dict[str, Any]]


class DataStore:
    """The derived data of one run, below its checkpoint directory. All methods are collective.

    `tell` is called now and then while rank 0 builds (a line for people; ranks that wait do nothing), `stopping` says,
    on all ranks alike, whether to give up.
    """

    def __init__(
        self, root: Path, dist: Dist, tell: Callable[[str], None] = lambda line: None,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:  # fmt: skip
        self._root, self._dist, self._tell, self._stopping = root, dist, tell, stopping
        self._used: set[str] = set()
        self._beaten = time.monotonic()
        if dist.is_main:
            self._remove(lambda name: name.startswith(TEMPORARY))

    def ready(self, name: str, key: Callable[[], dict[str, Any]], build: Build) -> Path:
        """The folder of that name and key, built by `build(folder, beat)` unless a good one is there.

        `key` returns JSON that says what the content depends on, `build` what to note in the manifest; both are called
        on rank 0 alone. Raises on all ranks what they raise, StorageFullError among it, and leaves nothing behind then;
        Interrupted when told to stop.
        """
        folder = self._root / (self._lead(name, key, build) if self._dist.is_main else self._follow())
        self._used.add(folder.name)
        return folder

    def remove_stale(self) -> None:
        """Remove folders that were not asked for in this attempt."""
        if self._dist.is_main:
            self._remove(lambda name: name.startswith(PREFIX) and name not in self._used)

    def remove_all(self) -> None:
        """Remove every folder: the run is done. Maps that are still open stay readable."""
        self._dist.barrier()
        if self._dist.is_main:
            self._remove(lambda name: name.startswith((PREFIX, TEMPORARY)))

    def _lead(self, name: str, make_key: Callable[[], dict[str, Any]], build: Build) -> str:
        try:
            key = {**make_key(), "formatVersion": FORMAT_VERSION}
            folder = self._root / f"{PREFIX}{name}-{canonical_hash(key)[:16]}"
            if not is_good(folder, key):
                self._build(folder, key, build)
        except Interrupted:
            raise  # the others know already
        except PolarError as error:
            self._dist.broadcast(["failed", type(error).__name__, str(error)])
            raise
        self._dist.broadcast(["done", folder.name, ""])
        return folder.name

    def _follow(self) -> str:
        while True:
            state, what, message = self._dist.broadcast(None)
            if state == "failed":
                raise getattr(errors, what, PolarError)(message)
            if state == "done":
                return str(what)
            self._stop_if_told()

    def _build(self, folder: Path, key: dict[str, Any], build: Build) -> None:
        temporary = self._root / f"{TEMPORARY}{folder.name.removeprefix(PREFIX)}-{secrets.token_hex(4)}"
        with storage_errors(self._root, f"building {folder}"):
            try:
                self._root.mkdir(parents=True, exist_ok=True)
                remove_tree(folder)
                temporary.mkdir()
                info = build(temporary, self._beat)
                _seal(temporary, key, info)
                temporary.rename(folder)
            except BaseException:
                with contextlib.suppress(OSError):
                    remove_tree(temporary)
                raise
            fsync_path(self._root)

    def _beat(self, line: str) -> None:
        """Between two pieces of work: every few seconds the other ranks hear that rank 0 is alive."""
        if time.monotonic() - self._beaten < BEAT_SECONDS:
            return
        self._dist.broadcast(["building", "", ""])
        self._stop_if_told()
        self._tell(line)
        self._beaten = time.monotonic()

    def _stop_if_told(self) -> None:
        if self._stopping():
            raise Interrupted("stopped while the data was being prepared, which will be repeated")

    def _remove(self, doomed: Callable[[str], bool]) -> None:
        for path in sorted(self._root.iterdir()) if self._root.is_dir() else []:
            if doomed(path.name) and path.is_dir():
                with contextlib.suppress(OSError):
                    remove_tree(path)


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


def table(path: Path, columns: int) -> Index:
    """A file of int64 as rows of `columns` numbers, mapped and not read."""
    if path.stat().st_size == 0:
        return np.zeros((0, columns), dtype=np.int64)
    flat: Index = np.asarray(np.memmap(path, dtype=np.int64, mode="r"))
    return flat.reshape(-1, columns)


def _seal(folder: Path, key: dict[str, Any], info: dict[str, Any]) -> None:
    names = sorted(path.name for path in folder.iterdir())
    for name in names:
        fsync_path(folder / name)
    files = {n: {"size": (folder / n).stat().st_size, "sha256": fingerprint(folder / n)} for n in names}
    document = {"key": key, "info": info, "files": files}
    write_file(folder / MANIFEST, json.dumps({**document, "selfHash": canonical_hash(document)}).encode())
    fsync_path(folder)
