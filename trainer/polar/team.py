"""How ranks write one checkpoint together: through files on the volume they share, beside the gang's collectives.

Every rank writes its parts below one temporary name, fsyncs them and then a note `.part-00001.json` with their sizes
and hashes. Rank 0 waits for all notes before it writes the manifest, so a rank may be killed at any moment: either all
parts are on stable storage, or there is no manifest. A rank that fails leaves a note with its reason.
"""

import contextlib
import json
import secrets
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from polar.durable import Entry, replace_file
from polar.errors import PolarError, StorageFullError

POLL_SECONDS = 0.02
LOOK_SECONDS = 1.0
PATIENCE_SECONDS = 1800.0  # without a sign of life from any rank
LAST_PATIENCE_SECONDS = 60.0  # when nothing but this save keeps the process


@dataclass(frozen=True, kw_only=True)
class Team:
    """The ranks that write a checkpoint, as one of them sees it. `token`: the same on all, new for each save.

    `folder`: where its files go beside the manifest in a bucket, so that two attempts never write one object.
    """

    rank: int = 0
    ranks: int = 1
    token: str = field(default_factory=lambda: secrets.token_hex(4))
    folder: str | None = None
    ending: threading.Event = field(default_factory=threading.Event)

    @property
    def is_main(self) -> bool:
        """Whether this rank completes the checkpoint."""
        return self.rank == 0


def publish(directory: Path, team: Team, entries: dict[str, Entry]) -> None:
    """Says that this rank's files are on stable storage."""
    _note(directory, team.rank, {"files": entries})


def publish_failure(directory: Path, team: Team, error: BaseException) -> None:
    """Tells rank 0 not to wait, as far as the storage still allows."""
    with contextlib.suppress(OSError):
        _note(directory, team.rank, {"failed": str(error), "full": isinstance(error, StorageFullError)})


def collect(directory: Path, team: Team) -> dict[str, Entry]:
    """Waits for the notes of all other ranks, removes them and returns what they say.

    Raises PolarError with the reason of a rank that failed, or when no rank gives a sign of life for too long.
    """
    found: dict[str, Entry] = {}
    missing = set(range(1, team.ranks))
    patience = Patience(directory, team)
    while missing:
        there = [rank for rank in sorted(missing) if (directory / _name(rank)).exists()]
        for rank in there:
            found.update(_read(directory / _name(rank), rank))
            (directory / _name(rank)).unlink()
        missing.difference_update(there)
        if missing and not there:
            patience.wait(min(missing))
    return found


class Patience:
    """Waits for other ranks as long as they write something."""

    def __init__(self, directory: Path, team: Team) -> None:
        self._directory, self._team = directory, team
        self._looked = self._moved = time.monotonic()
        self._seen = (0, 0)

    def wait(self, rank: int) -> None:
        """Sleeps a little. PolarError when nothing has been written for too long, which is laid to `rank`."""
        time.sleep(POLL_SECONDS)
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS:
            return
        written, self._looked = _written(self._directory), now
        if written != self._seen:
            self._seen, self._moved = written, now
        limit = LAST_PATIENCE_SECONDS if self._team.ending.is_set() else PATIENCE_SECONDS
        if now - self._moved > limit:
            raise PolarError(f"{self._directory}: no sign of rank {rank} saving its part for {limit:.0f} s")


def _name(rank: int) -> str:
    return f".part-{rank:05d}.json"


def _note(directory: Path, rank: int, value: dict[str, Any]) -> None:
    replace_file(directory / _name(rank), json.dumps(value).encode())


def _read(path: Path, rank: int) -> dict[str, Entry]:
    note = json.loads(path.read_bytes())
    if "failed" in note:
        kind = StorageFullError if note["full"] else PolarError
        raise kind(f"rank {rank}: {note['failed']}")
    files: dict[str, Entry] = note["files"]
    return files


def _written(directory: Path) -> tuple[int, int]:
    """Files in a directory and their bytes: while this grows, somebody is writing."""
    sizes = []
    with contextlib.suppress(OSError):
        for path in directory.iterdir():
            sizes.append(path.stat().st_size)
    return len(sizes), sum(sizes)
