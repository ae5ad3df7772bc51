"""Notices a rank that makes no progress and ends it with the stacks of its threads, instead of waiting for ever.

The main thread marks what it does; a daemon thread looks at the marks about once a second. It runs while the main
thread waits in a collective or for a device. Where it cannot run itself (the process is stopped, or native code keeps
the interpreter's lock) its beats stay away, and `polar.launch` ends the rank; without that program faulthandler's own
thread at least prints the stacks.

A rank is overdue when a phase takes longer than its limit: `hangTimeoutSeconds`, or ten times what it usually takes but
at least two minutes. Phases of unknown length (start, a first step, saving) have half an hour, as collectives do.
A rank that is overdue ends, unless it may be waiting for a peer that is not. What another rank failed with ends it too,
should the collective it is in not have noticed.
"""

import contextlib
import faulthandler
import json
import os
import statistics
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from polar.errors import HungError
from polar.hang import Failure, Record, told, where
from polar.peers import Peers

RESULT_DIR = "POLAR_RESULT_DIR"
FLOOR_SECONDS = 120.0
UNKNOWN_SECONDS = 1800.0
TIMES_USUAL = 10
MEASURED = {"step", "warm start", "validation"}
WINDOW, ENOUGH = 50, 3
TICK_SECONDS = 1.0
PEER_GRACE_SECONDS = 10.0
ASLEEP_SECONDS = 1.0
BEAT_BYTES = 512


@dataclass(frozen=True, slots=True)
class Mark:
    """What the main thread is doing, the number of marks so far, when it began and when it last said so (monotonic
    seconds)."""

    phase: str
    step: int
    number: int
    began: float
    at: float


class Watch:
    """The marks of this process, and the thread that looks at them once `start` is called."""

    def __init__(self) -> None:
        self._mark = Mark("start", 0, 0, time.monotonic(), time.monotonic())
        self._usual: dict[str, deque[float]] = {}
        self._bound = 0.0
        self._closed, self._news = False, threading.Event()
        self._beat, self._looked, self._woke = 0, 0.0, 0.0
        self._peers: Peers | None = None

    def mark(self, phase: str, step: int = 0) -> None:
        """Say that what was marked before is done and that `phase` (of hang.PHASES) of a step begins. Main thread."""
        before, now = self._mark, time.monotonic()
        self._usual.setdefault(before.phase, deque(maxlen=WINDOW)).append(now - before.began)
        self._mark = Mark(phase, step, before.number + 1, now, now)
        if phase != before.phase:
            self._news.set()

    def beat(self) -> None:
        """Say that the phase goes on: the time it may take begins anew."""
        self._mark = replace(self._mark, at=time.monotonic())

    def limit_to(self, seconds: float) -> None:
        """Use a fixed limit for phases of known length; 0 is automatic."""
        self._bound = seconds

    def limit(self, phase: str) -> float:
        """Seconds that a phase may take."""
        usual = self._usual.get(phase, ())
        if phase not in MEASURED or len(usual) < ENOUGH:
            return max(UNKNOWN_SECONDS, self._bound)
        return self._bound or max(FLOOR_SECONDS, TIMES_USUAL * statistics.median(list(usual)))

    def start(self, end: Callable[[Failure], None]) -> None:
        """Begin to look. `end` is called, in another thread, with what is wrong; it must end the process."""
        self._mark = Mark("start", 0, 0, time.monotonic(), time.monotonic())
        faulthandler.enable(all_threads=True)
        threading.Thread(target=self._run, args=(end,), name="watch", daemon=True).start()

    def close(self) -> None:
        """Stop looking."""
        self._closed = True
        self._news.set()
        if self._peers:
            self._peers.close()

    def _run(self, end: Callable[[Failure], None]) -> None:
        while not self._closed:
            self._look()
            record = self._record()
            if not leave_beat(record):  # nobody else would print the stacks
                faulthandler.dump_traceback_later(1.1 * record.limit, exit=False)
            failure = self._judged(record)
            if failure and not self._closed:
                faulthandler.cancel_dump_traceback_later()
                dump_stacks(failure.message)
                if self._peers and failure.rank == record.rank:
                    self._peers.publish(failure)
                end(failure)
                return
            self._news.wait(self._tick())
            self._news.clear()
        faulthandler.cancel_dump_traceback_later()

    def _look(self) -> None:
        """After a time in which nothing ran, such as that of a frozen pod, the main thread gets its time anew."""
        now = time.monotonic()
        if now - self._looked > ASLEEP_SECONDS + 3 * self._tick():
            self._woke = now
        self._looked, self._beat = now, self._beat + 1

    def _record(self) -> Record:
        mark = self._mark
        limit, quiet = self.limit(mark.phase), self._looked - max(mark.at, self._woke)
        return Record(
            rank=int(os.environ.get("RANK", "0")), beat=self._beat, phase=mark.phase, step=mark.step,
            quiet=quiet, limit=limit, where=where() if quiet > limit / 2 else "",
        )

    def _judged(self, own: Record) -> Failure | None:
        peers = self._gossip(own)
        known = peers.failure() if peers else None
        if known and own.phase in MEASURED and own.quiet > PEER_GRACE_SECONDS:
            return known
        if not own.overdue:
            return None
        seen = peers.view() if peers else []
        if any(one.may_work(own.quiet) for one in seen):
            return None
        message = told(own, seen, peers is None or peers.reachable())
        return known or Failure(own.rank, HungError.exit_code, HungError.reason, message)

    def _gossip(self, own: Record) -> Peers | None:
        """The peers, once the gang has met."""
        if self._peers is None and self._mark.number and int(os.environ.get("WORLD_SIZE", "1")) > 1:
            self._peers = Peers(own)
        if self._peers:
            self._peers.tell(own, self._tick())
        return self._peers

    def _tick(self) -> float:
        return min(TICK_SECONDS, max(0.1, self.limit(self._mark.phase) / 40))


def leave_beat(record: Record) -> bool:
    """Leave a record for `polar.launch`; False when there is none."""
    path = result_file(record.rank, "beat")
    if path is None:
        return False
    text = json.dumps(asdict(record)).ljust(BEAT_BYTES)
    with contextlib.suppress(OSError):
        file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        os.pwrite(file, text.encode(), 0)  # in place: it needs no room on a full disk
        os.close(file)
    return True


def dump_stacks(message: str) -> None:
    """The Python stacks of all threads on stderr, and in a file beside the result."""
    print(f"{message}. The stacks of this rank:", file=sys.stderr, flush=True)
    faulthandler.dump_traceback(all_threads=True)
    path = result_file(int(os.environ.get("RANK", "0")), "stacks")
    if path:
        with contextlib.suppress(OSError), path.open("w", encoding="utf-8") as file:
            faulthandler.dump_traceback(file=file, all_threads=True)


def result_file(rank: int, kind: str) -> Path | None:
    """A file of a rank beside its result, when it was launched."""
    directory = os.environ.get(RESULT_DIR)
    return Path(directory) / f"rank-{rank}.{kind}" if directory else None


WATCH = Watch()
