from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from pools import pool

from polar.data import Rows
from polar.errors import DataError
from polar.pairs import Groups, PreferenceTriplets, hold_out
from polar.sampling import EpochOrder
from polar.trajectory_pairs import Draw, Pairing, TrajectoryPairs

FULL = [[2] * 5 for _ in range(6)]
SINGLE = [[1] * 5 for _ in range(6)]
PAPER = [[2, 1, 0], [0, 2, 1], [1, 0, 2]]  # each prompt: one policy twice, another once


def pairs(data: Rows, pairing: Pairing, negatives: int = 1, seed: int = 0) -> TrajectoryPairs:
    return TrajectoryPairs(data, "training", Draw(pairing=pairing, negatives=negatives, seed=seed), "training")


def same(one: Groups, other: Groups) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ("reference_prompt", "reference", "candidate_prompt", "candidates")
    )


@pytest.mark.parametrize(
    ("samples", "pairing", "negatives"),
    [
        (FULL, "samePrompt", 1), (FULL, "samePrompt", 3), (FULL, "samePrompt", 9), (PAPER, "samePrompt", 1),
        (FULL, "crossPrompt", 3), (SINGLE, "crossPrompt", 1), (SINGLE, "crossPrompt", 4), (SINGLE, "crossPrompt", 7),
    ],
)  # fmt: skip
def test_the_positive_is_by_the_references_policy_and_the_negatives_by_others_on_the_same_prompt(
    samples: list[list[int]], pairing: Pairing, negatives: int
) -> None:
    data = pool(samples, pairing)
    groups = pairs(data, pairing, negatives).groups(0, 400)
    positive = groups.candidates[:, 0]
    assert groups.candidates.shape == (400, 1 + negatives)
    assert (data.policy[positive] == data.policy[groups.reference]).all()
    assert (data.policy[groups.candidates[:, 1:]] != data.policy[groups.reference][:, None]).all()
    assert (data.prompt[groups.candidates] == groups.candidate_prompt[:, None]).all()
    assert (data.prompt[groups.reference] == groups.reference_prompt).all()
    assert (positive != groups.reference).all()
    on_one_prompt = groups.reference_prompt == groups.candidate_prompt
    assert on_one_prompt.all() if pairing == "samePrompt" else not on_one_prompt.any()


def test_negatives_are_of_distinct_policies_while_there_are_enough() -> None:
    data = pool(FULL)
    groups = pairs(data, "samePrompt", negatives=4).groups(0, 200)
    policies = data.policy[groups.candidates]
    assert all(len(set(row)) == 5 for row in policies.tolist())


@pytest.mark.parametrize(("samples", "pairing"), [(FULL, "samePrompt"), (SINGLE, "crossPrompt")])
def test_in_a_square_each_candidate_is_once_positive_and_otherwise_negative(
    samples: list[list[int]], pairing: Pairing
) -> None:
    groups = pairs(pool(samples, pairing), pairing, negatives=2).groups(0, 300)
    for square in range(100):
        candidates = groups.candidates[3 * square : 3 * square + 3]
        assert len({frozenset(row) for row in candidates.tolist()}) == 1
        assert len(set(candidates[:, 0].tolist())) == 3


@pytest.mark.parametrize("pairing", ["samePrompt", "crossPrompt"])
def test_any_stretch_of_the_stream_is_the_same_however_it_is_cut(pairing: Pairing) -> None:
    source = pairs(pool(FULL, pairing), pairing, negatives=2)
    whole = source.groups(0, 130)
    again = pairs(pool(FULL, pairing), pairing, negatives=2)
    assert same(again.groups(57, 40), whole.take(np.arange(57, 97)))
    assert same(again.groups(5, 1), whole.take(np.array([5])))


def test_another_seed_draws_other_groups() -> None:
    data = pool(FULL)
    assert not same(pairs(data, "samePrompt", seed=1).groups(0, 50), pairs(data, "samePrompt", seed=2).groups(0, 50))


def test_without_squares_every_reference_comes_exactly_once_per_epoch() -> None:
    source = pairs(pool(PAPER), "samePrompt")
    assert source.size == 6
    for epoch in range(4):
        references = source.groups(epoch * source.size, source.size).reference
        assert sorted(references.tolist()) == sorted(set(references.tolist()))
        assert len(references) == source.size


def test_with_squares_every_row_is_used_about_equally_often() -> None:
    data = pool(FULL)
    groups = pairs(data, "samePrompt", negatives=1).groups(0, 6000)
    uses = Counter(groups.reference.tolist())
    assert len(uses) == 60
    assert min(uses.values()) > 60
    assert max(uses.values()) < 150


def test_epochs_come_in_different_orders() -> None:
    source = pairs(pool([[2, 1]] * 40), "samePrompt")
    first, second = (source.groups(epoch * source.size, source.size).reference.tolist() for epoch in (0, 1))
    assert sorted(first) == sorted(second)
    assert first != second


@pytest.mark.parametrize(
    ("samples", "pairing", "found"),
    [
        (SINGLE, "samePrompt", "found 30 trajectories of 5 policies on 6 prompts"),
        ([[2, 2]], "crossPrompt", "found 4 trajectories of 2 policies on 1 prompts"),
    ],
)
def test_a_part_that_gives_no_pair_is_an_error_with_the_counts(
    samples: list[list[int]], pairing: Pairing, found: str
) -> None:
    with pytest.raises(DataError, match=found):
        pairs(pool(samples, pairing), pairing)


def test_the_split_depends_on_names_and_seed_and_not_on_their_order() -> None:
    names = [f"n{i}" for i in range(50)]
    marks = dict(zip(names, hold_out(names, 10, 7).tolist(), strict=True))
    backwards = dict(zip(names[::-1], hold_out(names[::-1], 10, 7).tolist(), strict=True))
    assert marks == backwards
    assert sum(marks.values()) == 10
    assert marks != dict(zip(names, hold_out(names, 10, 8).tolist(), strict=True))


def test_parts_of_a_split_share_no_prompt_and_no_policy() -> None:
    data = pool(FULL, percent=34, policies=2, seed=5)
    train, seen, unseen = (data.parts[name] for name in ("training", "seen", "unseen"))
    assert (len(train), len(seen), len(unseen)) == (4 * 3 * 2, 2 * 3 * 2, 2 * 2 * 2)
    assert not set(data.prompt[train]) & set(data.prompt[[*seen, *unseen]])
    assert not set(data.policy[[*train, *seen]]) & set(data.policy[unseen])
    assert set(data.prompt[seen]) == set(data.prompt[unseen])


@pytest.mark.parametrize("pairing", ["samePrompt", "crossPrompt"])
def test_groups_of_a_part_stay_in_it(pairing: Pairing) -> None:
    data = pool(FULL, pairing, percent=34, policies=2, seed=5)
    for part in ("training", "seen", "unseen"):
        draw = Draw(pairing=pairing, negatives=1, seed=0)
        groups = TrajectoryPairs(data, part, draw, part).groups(0, 200)  # type: ignore[arg-type]
        assert set(groups.reference) | set(groups.candidates.ravel()) <= set(data.parts[part])


def test_too_few_policies_or_prompts_are_an_error_with_the_counts() -> None:
    with pytest.raises(DataError, match="at least 2 policies for training beside 4 held out, got 5"):
        pool(FULL, percent=34, policies=4)
    with pytest.raises(DataError, match="expected at least 2 prompts to hold out 50 percent of, got 1"):
        pool(FULL[:1], percent=50)


def test_held_out_prompts_are_the_asked_share_and_at_least_one() -> None:
    assert [len(pool(SINGLE, percent=percent).parts["seen"]) for percent in (1, 34, 50)] == [5, 10, 15]


def test_triplets_are_chosen_then_rejected_and_each_comes_once_per_epoch() -> None:
    source = PreferenceTriplets(np.arange(10) % 2, range(3, 10), 0, "training")
    groups = source.groups(0, 14)
    rows = groups.reference // 3
    assert sorted(rows[:7].tolist()) == sorted(rows[7:].tolist()) == list(range(3, 10))
    assert (groups.reference % 3 == 0).all()
    assert (groups.candidates == np.stack([3 * rows + 1, 3 * rows + 2], axis=1)).all()
    assert (groups.candidate_prompt == rows % 2).all()
    with pytest.raises(DataError, match="training: expected at least one triplet, found none"):
        PreferenceTriplets(np.zeros(0, np.int64), range(0), 0, "training")


@pytest.mark.parametrize("size", [1, 2, 3, 16, 17, 1000])
def test_every_item_comes_once_per_epoch_in_orders_that_differ(size: int) -> None:
    order = EpochOrder(size, 7)
    epochs = [order.at(np.arange(size) + epoch * size).tolist() for epoch in range(4)]
    assert all(sorted(epoch) == list(range(size)) for epoch in epochs)
    assert size < 16 or all(one != other for one, other in pairwise(epochs))
    some = range(size // 2, size // 2 + 2 * size)
    assert order.at(np.array(some)).tolist() == np.concatenate(epochs)[some].tolist()


def test_every_order_of_few_items_is_about_equally_likely() -> None:
    seen = Counter(tuple(EpochOrder(4, key).at(np.arange(4)).tolist()) for key in range(2400))
    assert len(seen) == 24
    assert 60 < min(seen.values()) <= max(seen.values()) < 145


def test_an_order_of_more_items_than_fit_in_memory_is_drawn_from_directly() -> None:
    drawn = EpochOrder(10**13, 1).at(np.arange(1000))
    assert len(set(drawn.tolist())) == 1000
    assert 0.4e13 < np.median(drawn) < 0.6e13
