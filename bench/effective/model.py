"""Effective training time in closed form. Pure.

Failures come at random, on average every M seconds, also while a restart is under way. A segment is an interval T of
training and the stall S of the save after it; its checkpoint can be loaded W seconds after the stall (it is written
while training goes on). A restart takes R seconds from the failure to the first step that is new, drawn anew for each
failure. Of the time between two failures, X, exponential with mean M, what counts is T for each k >= 1 with
X >= R + k (T + S) + W, so that

    effective = (T / M) * E[exp(-R / M)] * exp(-W / M) / (exp((T + S) / M) - 1)

With W = 0 and one R this is Daly's 2006 formula. About 1 - S / T - (T / 2 + R + W) / M for short T and R.
"""

import math
from dataclasses import dataclass

from polar.interval import young_daly


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Seconds: what a save stops training for, how long it is written behind training, and each kind of restart with
    its share of all failures."""

    stall: float
    written: float
    restarts: tuple[tuple[float, float], ...]

    def interval(self, between_failures: float) -> float:
        """The trainer's interval: Young and Daly's, and no shorter than a save takes."""
        return max(young_daly(self.stall, between_failures), self.stall + self.written)

    def restart(self) -> float:
        """Mean seconds of a restart."""
        return sum(share * seconds for share, seconds in self.restarts)


def effective(setting: Setting, between_failures: float, interval: float | None = None) -> float:
    """Share of the time that goes into steps which count."""
    every = interval or setting.interval(between_failures)
    restart = sum(share * math.exp(-seconds / between_failures) for share, seconds in setting.restarts)
    durable = math.exp(-setting.written / between_failures)
    return every / between_failures * restart * durable / math.expm1((every + setting.stall) / between_failures)


def mixed(crash: float, hang: float, hangs: float = 0.2) -> tuple[tuple[float, float], ...]:
    """Restarts of both kinds with their shares."""
    return ((1 - hangs, crash), (hangs, hang))
