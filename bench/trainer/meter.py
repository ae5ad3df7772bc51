"""What every contender process shares: the line protocol with the driver, and memory read from the kernel.

A contender says one JSON object per line on what was its standard output; its prints go to standard error. It says
`ready`, then times one epoch per `go` it reads, and says its peak memory when its input ends.
"""

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

PROCESS = Path("/proc/self")
RESET_PEAK = "5"


class Line:
    """The contender's end of the pipe."""

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(1), "w", buffering=1)
        os.dup2(2, 1)

    def say(self, **message: Any) -> None:
        """Send one object."""
        self._out.write(json.dumps(message) + "\n")

    def rounds(self) -> Iterator[None]:
        """One turn per `go` of the driver."""
        for _ in sys.stdin:
            yield


class Memory:
    """Peak resident memory above what the imports took."""

    def __init__(self) -> None:
        self.baseline_mib = _status_mib("VmRSS")
        with contextlib.suppress(OSError):  # where the kernel refuses, the peak may be that of the imports
            (PROCESS / "clear_refs").write_text(RESET_PEAK)

    def report(self) -> dict[str, float]:
        """MiB: the imports, the highest resident size since, and the difference (on a GPU: its allocator's peak)."""
        peak = _status_mib("VmHWM")
        found = {"baseline_mib": self.baseline_mib, "high_water_mib": peak, "peak_mib": peak - self.baseline_mib}
        if torch.cuda.is_initialized():
            found["peak_mib"] = torch.cuda.max_memory_allocated() / 2**20
        return {name: round(value, 1) for name, value in found.items()}


def make_room() -> None:
    """Leave the GPU's free memory to the other contenders while they have their turns."""
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


class Stopwatch:
    """Time since it was made, when all work started before is done."""

    def __init__(self) -> None:
        self._wall, self._processor = _now()

    def read(self) -> dict[str, float]:
        """Seconds of the clock, and of the processor for all threads: the latter hardly depend on other load."""
        wall, processor = _now()
        return {"seconds": wall - self._wall, "cpu_seconds": processor - self._processor}


def _now() -> tuple[float, float]:
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter(), time.process_time()


def _status_mib(key: str) -> float:
    for line in (PROCESS / "status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == key:
            return int(value.split()[0]) / 1024
    raise OSError(f"/proc/self/status: expected a line {key}, found none")
