"""How ranks in different pods write one checkpoint: each brings its parts to the bucket and then a note with their
sizes and hashes; rank 0 writes the manifest when all notes are there. As `team`, for ranks that share no folder.
"""

import json
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from polar import checkpoint
from polar.checkpoint import CheckpointInfo, StagedSnapshot
from polar.durable import Entry, remove_tree, storage_errors
from polar.errors import PolarError, StorageFullError
from polar.remote import Remote
from polar.s3_errors import StoreDeniedError, StoreDownError
from polar.team import LAST_PATIENCE_SECONDS, PATIENCE_SECONDS, Team

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 20.0
LAST_TRIES_SECONDS = 900.0
T = TypeVar("T")


class GivenUpError(PolarError):
    """A newer save takes the place of this one."""


class Persistence:
    """Repeats what a store that is away does not do. `in_trouble`: the last try failed."""

    def __init__(self, ending: threading.Event) -> None:
        self._ending, self._given_up = ending, threading.Event()
        self.in_trouble = False

    def give_up(self) -> None:
        """Ends it at the next try."""
        self._given_up.set()

    def __call__(self, action: Callable[[], T]) -> T:
        """What `action` returns. GivenUpError when told so, the store's error when the process ends without it."""
        pause, since = FIRST_PAUSE, 0.0
        while True:
            if self._given_up.is_set():
                raise GivenUpError("given up for a newer save")
            try:
                result = action()
            except (StoreDownError, StoreDeniedError) as error:
                if not self.in_trouble:
                    print(f"checkpoints: {error}. Training goes on; trying again", file=sys.stderr, flush=True)
                self.in_trouble = True
                since = since or time.monotonic()
                if self._ending.is_set() and time.monotonic() - since > LAST_TRIES_SECONDS:
                    raise
            else:
                self.in_trouble = False
                return result
            self._given_up.wait(pause)
            pause = min(LONGEST_PAUSE, 1.6 * pause)


def write(remote: Remote, staged: StagedSnapshot, team: Team, persist: Persistence) -> CheckpointInfo | None:
    """Writes a rank's part of a checkpoint; rank 0, which completes it, returns it once it is in the bucket."""
    temporary = remote.root / f"{checkpoint.TEMPORARY}{staged.name}-{team.token}-{team.rank}"
    place = f"{staged.name}/{team.folder}/"
    try:
        with storage_errors(remote.root, f"saving part {team.rank + 1} of {team.ranks} of {staged.name}"):
            temporary.mkdir(parents=True)
            files = checkpoint.write_tensors(temporary, staged, team)
            if team.is_main:
                files |= checkpoint.write_texts(temporary, staged)
        for file in files:
            persist(partial(remote.bucket.upload, temporary / file, place + file))
        if not team.is_main:
            persist(partial(_note, remote, place, team.rank, {"files": files}))
            return None
        files |= _collect(remote, place, team, persist)
        data = checkpoint.manifest_of(staged, team, files)
        info = persist(lambda: remote.commit(staged.name, data, print))
        for rank in range(1, team.ranks):
            persist(partial(remote.bucket.delete, _name(place, rank)))
        return info
    except GivenUpError:
        return None
    except PolarError as error:
        if not team.is_main and not isinstance(error, StoreDownError | StoreDeniedError):
            _note(remote, place, team.rank, {"failed": str(error), "full": isinstance(error, StorageFullError)})
        raise
    finally:
        remove_tree(temporary)


def _collect(remote: Remote, place: str, team: Team, persist: Persistence) -> dict[str, Entry]:
    """Waits for the notes of all other ranks. PolarError with the reason of a rank that failed."""
    found: dict[str, Entry] = {}
    missing, pause, moved, seen = set(range(1, team.ranks)), FIRST_PAUSE, time.monotonic(), 0
    while missing:
        there = persist(lambda: remote.bucket.list(place))
        for rank in [rank for rank in sorted(missing) if _name(place, rank) in there]:
            found.update(_read(persist(partial(remote.bucket.get, _name(place, rank))), rank))
            missing.discard(rank)
        if len(there) > seen:
            seen, moved = len(there), time.monotonic()
        limit = LAST_PATIENCE_SECONDS if team.ending.is_set() else PATIENCE_SECONDS
        if missing and time.monotonic() - moved > limit:
            raise PolarError(f"{remote.bucket.uri(place)}: no sign of rank {min(missing)} saving its part")
        time.sleep(pause if missing else 0)
        pause = min(2.0, 1.3 * pause)
    return found


def _read(data: bytes, rank: int) -> dict[str, Entry]:
    note = json.loads(data)
    if "failed" in note:
        kind = StorageFullError if note["full"] else PolarError
        raise kind(f"rank {rank}: {note['failed']}")
    files: dict[str, Entry] = note["files"]
    return files


def _note(remote: Remote, place: str, rank: int, value: object) -> None:
    remote.bucket.put(_name(place, rank), json.dumps(value).encode())


def _name(place: str, rank: int) -> str:
    return str(Path(place) / f".part-{rank:05d}.json")
