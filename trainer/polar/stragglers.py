"""Names the ranks that the others wait for: those whose own part of a step takes much longer than the others' parts.

A rank waits for the others when it sums gradients, in the last backward pass of a step. Its own part ends there; that
pass is left out for all ranks alike. A sharded model makes ranks wait in each layer, so there nobody stands out.
"""

import statistics
import time
from bisect import bisect_left
from collections import deque
from typing import Any

import torch

from polar.distributed import Dist

WINDOW = 20
SLOW, RECOVERED = 1.5, 1.3


class OwnTime:
    """Measures what a rank does by itself in a step: from `start` to the last `stop`, which comes before it waits."""

    def __init__(self, dist: Dist) -> None:
        self._dist, self._cuda = dist, dist.device.type == "cuda"
        self._from = self._to = self._now()

    def start(self) -> None:
        """The step begins."""
        self._from = self._now()

    def stop(self) -> None:
        """From here on the time may be spent waiting for other ranks."""
        self._to = self._now()

    def part(self, before: float = 0.0) -> dict[str, float]:
        """The time between and what it waited for its batch, for `Dist.sum`: each rank fills in its own."""
        own = before + self._seconds()
        return {f"seconds {rank}": own if rank == self._dist.rank else 0.0 for rank in range(self._dist.world_size)}

    def of_all(self, sums: dict[str, float]) -> list[float]:
        """Every rank's time, from the sums over all ranks."""
        return [sums[f"seconds {rank}"] for rank in range(self._dist.world_size)]

    def _seconds(self) -> float:
        """On a GPU it is the device's own time, and is waited for."""
        if not self._cuda:
            return float(self._to - self._from)
        self._to.synchronize()
        return float(self._from.elapsed_time(self._to)) / 1000

    def _now(self) -> Any:
        if not self._cuda:
            return time.monotonic()
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        return event


class Stragglers:
    """Keeps the times of the newest steps and says when a rank becomes slow or is no longer."""

    def __init__(self, processes_per_worker: int) -> None:
        self._per_worker = processes_per_worker
        self._steps: deque[list[float]] = deque(maxlen=WINDOW)
        self.slow: dict[int, float] = {}

    def add(self, seconds: list[float]) -> list[str]:
        """Add a step's times, one per rank; returns a line for each rank that becomes slow, or is no longer.

        A rank is slow when the median of its times over the window is above 1.5 times the median of the others'.
        `slow` has their ratios.
        """
        self._steps.append(seconds)
        if len(self._steps) < WINDOW or len(seconds) < 2:
            return []
        own = [statistics.median(times) for times in zip(*self._steps, strict=True)]
        ordered, said = sorted(own), []
        for rank, taken in enumerate(own):
            ratio = taken / max(1e-9, _median_without(ordered, taken))
            name = f"rank {rank} (worker {rank // self._per_worker})"
            if rank not in self.slow and ratio > SLOW:
                said.append(f"{name} is slow: its part of a step takes {taken:.3g} s, {ratio:.2g} times the others'")
            elif rank in self.slow and ratio < RECOVERED:
                said.append(f"{name} is no longer slow")
                del self.slow[rank]
                continue
            if rank in self.slow or ratio > SLOW:
                self.slow[rank] = ratio
        return said


def _median_without(ordered: list[float], one: float) -> float:
    """The median of the others, without sorting them again for each of thousands of ranks."""
    place, last = bisect_left(ordered, one), len(ordered) - 2
    low, high = (ordered[at + (at >= place)] for at in (last // 2, (last + 1) // 2))
    return (low + high) / 2
