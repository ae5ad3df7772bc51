"""The model of effective training time (bench/effective) beside Daly's formula and the simulation."""

import math
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "bench" / "effective"))

from model import Setting, effective, mixed
from simulate import simulate

HOUR = 3600.0


def test_with_saves_that_are_done_when_training_goes_on_it_is_dalys_formula() -> None:
    setting = Setting(stall=30, written=0, restarts=mixed(60, 60))
    every = setting.interval(HOUR)
    wanted = HOUR * math.exp(60 / HOUR) * math.expm1((every + 30) / HOUR)
    assert effective(setting, HOUR) == pytest.approx(every / wanted)


@pytest.mark.parametrize("setting", [
    Setting(stall=1, written=30, restarts=mixed(60, 180)),
    Setting(stall=30, written=0, restarts=mixed(600, 600)),
])
def test_the_trainers_own_rule_played_step_by_step_gives_the_same(setting: Setting) -> None:
    assert simulate(setting, HOUR, failures=800, step=5.0, seed=3) == pytest.approx(effective(setting, HOUR), abs=0.02)


def test_no_other_interval_gives_much_more() -> None:
    setting = Setting(stall=10, written=0, restarts=mixed(60, 60))
    best = max(effective(setting, HOUR, interval=float(every)) for every in range(60, 3600, 20))
    assert effective(setting, HOUR) > best - 0.002


def test_95_percent_needs_saves_behind_training_and_restarts_of_a_minute() -> None:
    def share(restart: float, stall: float, written: float) -> float:
        return effective(Setting(stall=stall, written=written, restarts=mixed(restart, restart)), HOUR)

    assert share(60, 1, 30) > 0.95 > share(180, 1, 30) > share(600, 1, 30)
    assert share(60, 30, 0) < 0.95
