"""What ranks tell each other about their progress, and what a hang is called."""

import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

PHASES = ("start", "data", "warm start", "step", "validation", "style baseline", "save", "export", "end")
SHOWN = 8
LONGEST_PLACE = 200
NATIVE = "native code"


@dataclass(frozen=True, slots=True)
class Record:
    """A rank's progress at one beat: seconds since its last mark, seconds the phase may take, place of its main thread
    (only when late)."""

    rank: int
    beat: int
    phase: str
    step: int
    quiet: float
    limit: float
    where: str

    @property
    def overdue(self) -> bool:
        """Whether the phase takes too long."""
        return self.quiet > self.limit


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a peer; not alive when its beats stay away."""

    record: Record
    alive: bool

    def may_work(self, waited: float) -> bool:
        """Whether this peer may yet end what another rank has waited for, for so many seconds."""
        return not self.record.overdue if self.alive else waited <= self.record.limit


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a rank ends."""

    rank: int
    code: int
    reason: str
    message: str


def where() -> str:
    """What this process's main thread is in: a collective by its name, else the innermost function of the trainer."""
    frames = _frames(sys._current_frames().get(threading.main_thread().ident or 0))
    for frame in frames:
        if "/torch/distributed/" in frame.f_code.co_filename and not frame.f_code.co_name.startswith(("_", "wrapper")):
            return frame.f_code.co_name
    if any(frame.f_code.co_name == "_engine_run_backward" for frame in frames):
        return "backward"
    own = next((frame for frame in frames if "/site-packages/" not in frame.f_code.co_filename), None)
    if own is None:
        return NATIVE
    return f"{own.f_code.co_name} ({Path(own.f_code.co_filename).name}:{own.f_lineno})"[:LONGEST_PLACE]


def told(own: Record, seen: Sequence[Seen], reachable: bool) -> str:
    """A hang in words: the ranks that the others wait for, if that can be told, and what each is doing."""
    everyone = sorted([Seen(own, True), *seen], key=lambda one: one.record.rank)
    odd = _odd(everyone)
    if not odd or len(odd) == len(everyone):
        text = f"{_names(everyone)} did not finish {_doing(own)} for {own.quiet:.0f} s: in {own.where or NATIVE}"
        return text if reachable else f"{text}; the gang's store on worker 0 does not answer"
    rest = [one for one in everyone if one not in odd]
    first, waiting = odd[0], max(rest, key=lambda one: one.record.quiet).record
    late = first.record if first.alive else waiting  # what a rank told last is older than that it stopped
    state = f"in {late.where or NATIVE}" if first.alive else f"stopped, or stuck in {NATIVE}"
    return (
        f"{_names(odd)} did not finish {_doing(late)} for {waiting.quiet:.0f} s: {state}; "
        f"{_names(rest)} {'waits' if len(rest) == 1 else 'wait'} in {waiting.where or NATIVE}"
    )


def place(record: Record) -> tuple[int, int, int]:
    """How far a rank is; greater is farther. Not all ranks have all phases."""
    before, after = PHASES.index("step"), PHASES.index("export")
    phase = PHASES.index(record.phase) if record.phase in PHASES else after
    return (phase, record.step, 0) if phase < before or phase >= after else (before, record.step, phase)


def _odd(everyone: Sequence[Seen]) -> list[Seen]:
    """The ranks that do not run, else those that are the least far, else those that are in no collective."""
    silent = [one for one in everyone if not one.alive and one.record.phase != "end"]
    if silent:
        return silent
    least = min(place(one.record) for one in everyone)
    behind = [one for one in everyone if place(one.record) == least]
    if len(behind) < len(everyone):
        return behind
    return [one for one in everyone if "(" in one.record.where]


def _names(ranks: Sequence[Seen]) -> str:
    numbers = [str(one.record.rank) for one in ranks]
    more = f" and {len(numbers) - SHOWN} more" if len(numbers) > SHOWN else ""
    return f"rank{'s' if len(numbers) > 1 else ''} {', '.join(numbers[:SHOWN])}{more}"


def _doing(record: Record) -> str:
    if record.phase == "step":
        return f"step {record.step}"
    return f"the {record.phase}" + (f" of step {record.step}" if record.step else "")


def _frames(frame: FrameType | None) -> list[FrameType]:
    found = []
    while frame is not None:
        found.append(frame)
        frame = frame.f_back
    return found
