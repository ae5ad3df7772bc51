"""Effective training time by Monte Carlo: failures at random strike a run that saves by the trainer's own rule.

Nothing is taken from the closed form: steps of a fixed length, the interval of `polar.interval.Interval` on a clock
that the simulation sets, one save in flight at a time, and a first interval of five minutes where it is not known yet
what a save costs.
"""

import math
import random
from dataclasses import dataclass

from model import Setting
from polar.config_runtime import Checkpoint
from polar.interval import Interval


@dataclass(slots=True)
class Saved:
    """The newest checkpoint that can be loaded, and the one being written."""

    trained: float = 0.0
    cost: float | None = None
    next_trained: float = 0.0
    next_cost: float | None = None
    done_at: float = math.inf


def simulate(setting: Setting, between_failures: float, failures: int, step: float = 1.0, seed: int = 1) -> float:
    """Share of the time that went into steps which count, until so many failures have happened."""
    rng, saved, wall = random.Random(seed), Saved(), 0.0
    for _ in range(failures):
        lasts = rng.expovariate(1 / between_failures)
        _attempt(setting, between_failures, saved, (_restart(setting, rng), lasts, step))
        wall += lasts
    return saved.trained / wall


def _restart(setting: Setting, rng: random.Random) -> float:
    shares = [share for share, _ in setting.restarts]
    return rng.choices([seconds for _, seconds in setting.restarts], shares)[0]


def _attempt(setting: Setting, between_failures: float, saved: Saved, times: tuple[float, float, float]) -> None:
    """From one failure to the next: restart, then steps and saves until time is up."""
    now, ends, step = times
    trained = saved.trained
    options = Checkpoint(
        directory="", uri="", keep_last=1, keep_best=0, mean_seconds_between_failures=round(between_failures)
    )
    interval = Interval(options, saved.cost, clock=lambda: now)
    saved.done_at = math.inf
    while (now := now + step) < ends:
        trained += step
        if now >= saved.done_at:
            saved.trained, saved.cost, saved.done_at = saved.next_trained, saved.next_cost, math.inf
            interval.written()
        if not interval.due(1, writing=saved.done_at < math.inf):
            continue
        now += setting.stall
        saved.next_trained, saved.next_cost, saved.done_at = trained, interval.cost, now + setting.written
        interval.began(setting.stall)
    if saved.done_at <= ends:
        saved.trained, saved.cost, saved.done_at = saved.next_trained, saved.next_cost, math.inf
