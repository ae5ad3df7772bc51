"""When the next checkpoint is due: after so many steps, after so many seconds, or by Young and Daly, and at the branch
points that are listed.

A save costs C seconds of training, and a failure costs on average half an interval; with M seconds between failures the
least is lost when sqrt(2 C M) seconds lie between checkpoints (Young 1974, Daly 2006). C is measured. Rank 0's clock
counts. Nothing that is trained depends on when checkpoints are saved.
"""

import math
import time
from collections.abc import Callable

from polar.config_runtime import Checkpoint

SHORTEST_SECONDS, LONGEST_SECONDS = 60.0, 3600.0
FIRST_SECONDS = 300.0  # until it is known what a save costs

Clock = Callable[[], float]


def young_daly(cost: float, between_failures: float) -> float:
    """Seconds between checkpoints that cost `cost` seconds each, within reason."""
    return min(LONGEST_SECONDS, max(SHORTEST_SECONDS, math.sqrt(2 * cost * between_failures)))


class Interval:
    """Times of one attempt's saves. `cost` is what a save cost the attempt before, None when that is not known."""

    def __init__(self, options: Checkpoint, cost: float | None = None, clock: Clock = time.monotonic) -> None:
        self._options, self._clock = options, clock
        self._began, self._write_seconds = clock(), 0.0
        self.cost = cost

    @property
    def seconds(self) -> float | None:
        """Seconds between checkpoints as now used: at least as many as the last one took to be written. None: steps."""
        if self._options.every_steps is not None:
            return None
        return max(self._wanted(), self._write_seconds)

    def due(self, step: int, writing: bool) -> bool:
        """Whether to save after `step`. By time never while the last checkpoint is still being written."""
        if self._options.every_steps is not None:
            return step % self._options.every_steps == 0
        seconds = self.seconds
        assert seconds is not None
        return not writing and self._clock() - self._began >= seconds

    def is_branch_point(self, step: int, before: int, tokens: int) -> bool:
        """Whether this is a listed step, or the first that reaches a listed number of tokens; `before` are those of the
        step before.
        """
        options = self._options
        return step in options.keep_steps or any(before < wanted <= tokens for wanted in options.keep_tokens)

    def began(self, cost: float) -> None:
        """A save has begun just now and has cost training `cost` seconds."""
        self._began, self.cost = self._clock(), cost

    def written(self) -> None:
        """The save that began last is complete."""
        self._write_seconds = self._clock() - self._began

    def _wanted(self) -> float:
        if self._options.every_seconds is not None:
            return float(self._options.every_seconds)
        assert self._options.mean_seconds_between_failures is not None
        return FIRST_SECONDS if self.cost is None else young_daly(
            self.cost, self._options.mean_seconds_between_failures
        )
