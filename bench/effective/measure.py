"""A real run that is hit by faults: what a restart takes, and what share of the time counts."""

import json
import os
import signal
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attempt import Attempt, free_port
from small_run import HANG_SECONDS, run_config, write_rows

STEPS = 66  # rank 0 prints each of up to a hundred steps
FAULTS = ("crash", "crash", "hang", "crash", "crash")  # 80 % and 20 %
STEPS_BETWEEN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """Seconds from a fault until a worker ended, until all had, until the first step was done again, and until there
    was a step that is new; the steps that were lost."""

    fault: str
    noticed: float
    ended: float
    stepped: float
    caught_up: float
    lost_steps: int


def measure(folder: Path) -> dict[str, Any]:
    """Train with faults to the end. The operator's own part (its delay, scheduling, images) is not in it."""
    rows, began = write_rows(folder / "rows.jsonl"), time.monotonic()
    attempt = start(folder, rows, 1)
    _, first_step = attempt.wait_for_step()
    restarts: list[Restart] = []
    try:
        for number, fault in enumerate(FAULTS):
            done, _ = attempt.wait_for_step(STEPS_BETWEEN * (number + 1))
            struck = strike(attempt, fault)
            noticed = attempt.end()
            done = max([done, *(step for step, _ in drain(attempt))])
            ended, attempt = time.monotonic(), start(folder, rows, number + 2)
            step, stepped = attempt.wait_for_step()
            _, caught_up = (step, stepped) if step > done else attempt.wait_for_step(done + 1)
            times = {"noticed": noticed, "ended": ended, "stepped": stepped, "caught_up": caught_up}
            since = {name: round(at - struck, 2) for name, at in times.items()}
            restarts.append(Restart(fault=fault, lost_steps=max(0, done + 1 - step), **since))
            print(f"{restarts[-1]}", flush=True)
        codes = attempt.codes()
    finally:
        attempt.kill()
    if codes != [0, 0]:
        raise RuntimeError(f"the last attempt ended with {codes}; see {attempt.folder}")
    return summary(folder, restarts, (time.monotonic() - began, first_step - began))


def start(folder: Path, rows: Path, number: int) -> Attempt:
    """The next attempt."""
    return Attempt(folder, run_config(folder, rows, number, STEPS, free_port()))


def strike(attempt: Attempt, fault: str) -> float:
    """Kill the last worker as a node that dies does, or stop its rank; returns when."""
    if fault == "crash":
        attempt.workers[-1].kill()
    else:
        os.kill(attempt.rank_in_a_step(HANG_SECONDS), signal.SIGSTOP)
    return time.monotonic()


def drain(attempt: Attempt) -> list[tuple[int, float]]:
    """Steps that were done before the attempt ended."""
    found = []
    while not attempt.steps.empty():
        found.append(attempt.steps.get())
    return found


def summary(folder: Path, restarts: list[Restart], seconds: tuple[float, float]) -> dict[str, Any]:
    """Means by kind of fault, and how the whole time divides."""
    wall, first_step = seconds
    newest = (folder / "run" / "LATEST").read_text().strip()
    state = json.loads((folder / "run" / newest / "state.json").read_text())
    crash, hang = (
        statistics.mean(one.stepped for one in restarts if one.fault == fault) for fault in ("crash", "hang")
    )
    return {
        "steps": STEPS,
        "wallSeconds": round(wall, 1),
        "trainSeconds": round(state["trainSeconds"], 1),
        "effective": round(state["trainSeconds"] / wall, 3),
        "startSeconds": round(first_step, 1),
        "stallSeconds": round(state["saveCost"], 3),
        "crashRestartSeconds": round(crash, 1),
        "hangRestartSeconds": round(hang, 1),
        "hangTimeoutSeconds": HANG_SECONDS,
        "restarts": [{name: getattr(one, name) for name in one.__slots__} for one in restarts],
    }
