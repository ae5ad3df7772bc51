"""Batches made ahead of the steps, in a thread: groups are drawn, this rank's share is encoded and packed.

Which groups a batch holds depends on the cursor alone, so nothing is lost or repeated when a run stops with batches in
the queue: the next attempt draws them again from the cursor in its checkpoint.
"""

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from polar.packing import Packed
from polar.pairs import Groups
from polar.sampling import Index

AHEAD = 2
POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Batch:
    """One step's groups. `own` are the places of this rank's share, `micro` is that share in micro-batches, `tokens`
    counts the corpus tokens of every group, `wait_seconds` passed before this rank had it."""

    groups: Groups
    own: Index
    micro: list[Packed]
    tokens: Index
    wait_seconds: float = 0.0


class Loader:
    """Batches in the order of their cursors, at most AHEAD of them made before they are asked for.

    `make(cursor)` is called in a thread, for `start`, `start + batch_groups`, ...; what it raises, `next` raises.
    """

    def __init__(self, make: Callable[[int], Batch], batch_groups: int, start: int) -> None:
        self._make, self._batch_groups, self._cursor = make, batch_groups, start
        self._queue: queue.Queue[Batch | BaseException] = queue.Queue(maxsize=AHEAD)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="loader", daemon=True)

    def __iter__(self) -> "Loader":
        return self

    def __next__(self) -> Batch:
        """The next batch; the first call starts the thread. Raises what making it raised, again and again."""
        started = time.monotonic()
        if not self._thread.ident:
            self._thread.start()
        found = self._queue.get()
        if isinstance(found, BaseException):
            self._queue.put(found)
            raise found
        return replace(found, wait_seconds=time.monotonic() - started)

    def close(self) -> None:
        """End the thread; waits for the batch it is making."""
        self._closed.set()
        if self._thread.ident:
            self._thread.join()

    def _run(self) -> None:
        cursor = self._cursor
        while not self._closed.is_set():
            made: Batch | BaseException
            try:
                made = self._make(cursor)
            except BaseException as error:
                made = error
            self._put(made)
            if isinstance(made, BaseException):
                return
            cursor += self._batch_groups

    def _put(self, made: Batch | BaseException) -> None:
        while not self._closed.is_set():
            with contextlib.suppress(queue.Full):
                self._queue.put(made, timeout=POLL_SECONDS)
                return
