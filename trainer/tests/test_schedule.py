import dataclasses

import pytest

from polar.config import Optimizer
from polar.errors import ConfigError
from polar.schedule import check_branch, learning_rate

OPTIONS = Optimizer(
    learning_rate=0.1, batch_triplets=1, schedule="cosine", warmup_percent=10, min_learning_rate_percent=20,
    weight_decay=0.0, beta1=0.9, beta2=0.95, gradient_clip=1.0,
)  # fmt: skip


def test_rises_linearly_and_reaches_the_peak_with_the_last_step_of_the_warmup() -> None:
    assert [learning_rate(OPTIONS, step, 40) for step in range(4)] == pytest.approx([0.025, 0.05, 0.075, 0.1])


def test_cosine_goes_from_the_peak_to_its_floor_through_the_middle() -> None:
    assert learning_rate(OPTIONS, 4, 40) == pytest.approx(0.1)
    assert learning_rate(OPTIONS, 22, 40) == pytest.approx(0.06)
    assert learning_rate(OPTIONS, 40, 40) == pytest.approx(0.02)


def test_constant_stays_at_the_peak() -> None:
    options = dataclasses.replace(OPTIONS, schedule="constant")
    assert {learning_rate(options, step, 40) for step in range(4, 40)} == {0.1}


def test_without_warmup_the_first_step_has_the_peak() -> None:
    assert learning_rate(dataclasses.replace(OPTIONS, warmup_percent=0), 0, 40) == pytest.approx(0.1)


def test_a_single_step_of_pure_warmup_is_not_divided_by_zero() -> None:
    assert learning_rate(dataclasses.replace(OPTIONS, warmup_percent=100), 0, 1) == pytest.approx(0.1)


WSD = dataclasses.replace(OPTIONS, schedule="wsd", cooldown_percent=25, min_learning_rate_percent=0)


def test_wsd_stays_at_the_peak_until_the_cooldown_and_then_falls_by_the_square_root() -> None:
    assert {learning_rate(WSD, step, 40) for step in range(4, 31)} == {0.1}
    assert learning_rate(WSD, 30 + 5, 40) == pytest.approx(0.1 * (1 - 0.5**0.5))
    assert 0 < learning_rate(WSD, 39, 40) < 0.1 * 0.06
    falling = [learning_rate(WSD, step, 40) for step in range(30, 40)]
    assert falling == sorted(falling, reverse=True)


def test_wsd_ends_at_its_floor() -> None:
    assert learning_rate(dataclasses.replace(WSD, min_learning_rate_percent=20), 40, 40) == pytest.approx(0.02)


def test_wsd_without_a_cooldown_is_constant() -> None:
    assert learning_rate(dataclasses.replace(WSD, cooldown_percent=0), 39, 40) == 0.1


def test_a_branch_cools_down_like_a_whole_run_of_its_length() -> None:
    """The rates after the branch equal those of an unbranched run: the trunk was at the peak until then."""
    whole = [learning_rate(WSD, step, 40) for step in range(30, 40)]
    assert [learning_rate(WSD, step, 40, branched_at=30) for step in range(30, 40)] == whole


def test_a_cooldown_starts_at_the_peak_when_the_branch_is_late() -> None:
    assert learning_rate(WSD, 36, 40, branched_at=36) == 0.1
    assert learning_rate(WSD, 38, 40, branched_at=36) == pytest.approx(0.1 * (1 - 0.5**0.5))


def test_a_branch_of_a_short_trunk_does_not_warm_up_again() -> None:
    assert learning_rate(WSD, 2, 40, branched_at=2) == 0.1


def test_a_branch_without_steps_of_its_own_is_refused() -> None:
    check_branch(0, 0)
    check_branch(39, 40)
    with pytest.raises(ConfigError, match="budget: expected more than the 40 steps that resumeFrom has done"):
        check_branch(40, 40)
