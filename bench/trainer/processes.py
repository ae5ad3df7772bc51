"""Contenders as processes that take turns: only one works at a time, and all stay warm."""

import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

HERE = Path(__file__).parent
STOP_SECONDS = 60
SHOWN = 2000


class OutOfMemory(RuntimeError):
    """A contender needs more GPU memory than there is."""


@dataclass(frozen=True, slots=True)
class Contender:
    """A name, the interpreter that runs it, and what contender.py reads."""

    name: str
    python: Path
    spec: dict[str, Any]


@dataclass(slots=True)
class Measured:
    """What one contender said."""

    ready: dict[str, Any]
    warm_up: dict[str, Any]
    rounds: list[dict[str, Any]] = field(default_factory=list)
    memory: dict[str, float] = field(default_factory=dict)

    @property
    def seconds(self) -> list[float]:
        """Of each timed round."""
        return [round(float(r["seconds"]), 3) for r in self.rounds]

    @property
    def cpu_seconds(self) -> float:
        """Processor time of the timed rounds, their median."""
        return statistics.median(float(r["cpu_seconds"]) for r in self.rounds)

    @property
    def median(self) -> float:
        """Of the timed rounds."""
        return statistics.median(self.seconds)

    @property
    def shapes(self) -> list[list[int]]:
        """Padded micro-batches of all timed rounds."""
        return [shape for r in self.rounds for shape in r["shapes"]]


class Process:
    """One running contender. Its standard error goes to a file that is shown when it fails."""

    def __init__(self, contender: Contender, folder: Path) -> None:
        self.name = contender.name
        spec = folder / f"{contender.name}.json"
        spec.write_text(json.dumps({**contender.spec, "folder": str(folder / "out")}))
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self._process = subprocess.Popen(
            [contender.python, HERE / "contender.py", spec],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            bufsize=1,
            env=_environment(int(contender.spec["threads"])),
        )
        try:
            self.ready = self.hear("ready")
        except BaseException:
            self.kill()
            raise

    def hear(self, event: str) -> dict[str, Any]:
        """The next message. RuntimeError with its last words when it is another or none."""
        line = self._process.stdout.readline()
        message: dict[str, Any] = json.loads(line) if line else {}
        if message.get("event") != event:
            self._errors.seek(0)
            said = self._errors.read()
            error = OutOfMemory if "OutOfMemoryError" in said else RuntimeError
            raise error(f"{self.name}: expected {event}, got {line!r}\n{said[-SHOWN:]}")
        return message

    def turn(self) -> dict[str, Any]:
        """One epoch."""
        self._process.stdin.write("go\n")
        return self.hear("round")

    def finish(self) -> dict[str, float]:
        """No more turns; its peak memory."""
        self._process.stdin.close()
        memory: dict[str, float] = self.hear("end")["memory"]
        self._process.wait(STOP_SECONDS)
        return memory

    def kill(self) -> None:
        """End it if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(STOP_SECONDS)
        self._errors.close()


class Match:
    """Contenders that are alive together; a context manager that ends them."""

    def __init__(self, contenders: Sequence[Contender], folder: Path) -> None:
        self._processes: dict[str, Process] = {}
        try:
            for contender in contenders:  # one after another, so that they load in peace
                self._processes[contender.name] = Process(contender, folder)
        except BaseException:
            self._end()
            raise

    def __enter__(self) -> "Match":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end()

    def _end(self) -> None:
        for process in self._processes.values():
            process.kill()

    def play(self, warm_ups: int, most_rounds: int, deadline: float) -> dict[str, Measured]:
        """Warm-up rounds, the last of which is kept, then timed rounds in turn: A, B, A, B.

        None when `most_rounds` is 0, else at least one, and no further one that would end after `deadline` (seconds of
        the monotonic clock).
        """
        measured = {}
        for name, process in self._processes.items():
            turns = [process.turn() for _ in range(warm_ups)]
            measured[name] = Measured(process.ready, turns[-1])
        took = 0.0
        for number in range(most_rounds):
            started = time.monotonic()
            if number > 0 and started + took > deadline:
                break
            for name, process in self._processes.items():
                measured[name].rounds.append(process.turn())
            took = time.monotonic() - started
        for name, process in self._processes.items():
            measured[name].memory = process.finish()
        return measured


def _environment(threads: int) -> dict[str, str]:
    same = {"OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    return {**os.environ, **same, "PYTHONPATH": str(HERE.parents[1] / "trainer")}
