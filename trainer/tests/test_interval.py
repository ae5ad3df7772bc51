"""When checkpoints are due, by a clock that the tests set."""

import math
from typing import Any

import pytest

from polar.config_runtime import Checkpoint
from polar.interval import FIRST_SECONDS, LONGEST_SECONDS, SHORTEST_SECONDS, Interval, young_daly


class FakeClock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def options(**interval: int) -> Checkpoint:
    return Checkpoint(directory="d", uri="pvc://c/d", keep_last=1, keep_best=0, **interval)


def test_by_steps_every_multiple_is_due_whatever_the_clock_says() -> None:
    interval = Interval(options(every_steps=5))
    assert [step for step in range(1, 12) if interval.due(step, writing=True)] == [5, 10]
    assert interval.seconds is None


def test_by_seconds_a_save_is_due_that_long_after_the_one_before_began() -> None:
    clock = FakeClock()
    interval = Interval(options(every_seconds=60), clock=clock)
    clock.now += 59
    assert not interval.due(7, writing=False)
    clock.now += 1
    assert interval.due(7, writing=False)
    interval.began(cost=2.0)
    assert not interval.due(8, writing=False)
    clock.now += 60
    assert interval.due(8, writing=False) and interval.seconds == 60


def test_no_save_is_due_while_one_is_written_and_the_interval_is_no_shorter_than_the_writing() -> None:
    clock = FakeClock()
    interval = Interval(options(every_seconds=10), clock=clock)
    interval.began(cost=1.0)
    clock.now += 30
    assert not interval.due(3, writing=True)
    interval.written()
    assert interval.seconds == 30 and interval.due(3, writing=False)
    interval.began(cost=1.0)
    clock.now += 29
    assert not interval.due(4, writing=False)


def test_auto_saves_within_five_minutes_and_then_by_young_and_daly() -> None:
    clock = FakeClock()
    interval = Interval(options(mean_seconds_between_failures=3600), clock=clock)
    assert interval.seconds == FIRST_SECONDS == 300
    clock.now += 300
    assert interval.due(1, writing=False)
    interval.began(cost=2.0)
    assert interval.seconds == pytest.approx(math.sqrt(2 * 2.0 * 3600)) == 120


def test_a_resumed_attempt_knows_what_a_save_costs() -> None:
    assert Interval(options(mean_seconds_between_failures=3600), cost=2.0).seconds == 120


@pytest.mark.parametrize(("cost", "between_failures", "wanted"), [
    (0.001, 3600, SHORTEST_SECONDS), (30, 3600, math.sqrt(2 * 30 * 3600)), (30, 10_000_000, LONGEST_SECONDS),
    (0, 1, SHORTEST_SECONDS),
])
def test_the_interval_stays_within_reason(cost: float, between_failures: float, wanted: float) -> None:
    assert young_daly(cost, between_failures) == wanted


def test_no_interval_near_that_of_young_and_daly_loses_less() -> None:
    cost, between_failures = 30.0, 3600.0

    def lost(seconds: float) -> float:
        return cost / seconds + seconds / 2 / between_failures

    best = young_daly(cost, between_failures)
    assert all(lost(best) <= lost(best * factor) for factor in (0.5, 0.8, 0.95, 1.05, 1.25, 2))


@pytest.mark.parametrize("intervals", [{}, {"every_steps": 5, "every_seconds": 60}, {"every_seconds": 0}])
def test_exactly_one_interval_of_at_least_one_must_be_given(intervals: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="everySteps: expected"):
        options(**intervals)
