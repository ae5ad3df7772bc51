from collections import Counter

import numpy as np
import pytest
from pools import all_rows, pool

from polar.data import Preferences, Source, Trajectories
from polar.errors import DataError
from polar.pairs import Groups, PreferenceTriplets, held_out_prompts, hold_out, split_trajectories
from polar.trajectory_pairs import Draw, Pairing, TrajectoryPairs

FULL = [[2] * 5 for _ in range(6)]
SINGLE = [[1] * 5 for _ in range(6)]
PAPER = [[2, 1, 0], [0, 2, 1], [1, 0, 2]]  # each prompt: one policy twice, another once


def pairs(data: Trajectories, pairing: Pairing, negatives: int = 1, seed: int = 0) -> TrajectoryPairs:
    return TrajectoryPairs(data, all_rows(data), Draw(pairing=pairing, negatives=negatives, seed=seed), "training")


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
    data = pool(samples)
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
    groups = pairs(pool(samples), pairing, negatives=2).groups(0, 300)
    for square in range(100):
        candidates = groups.candidates[3 * square : 3 * square + 3]
        assert len({frozenset(row) for row in candidates.tolist()}) == 1
        assert len(set(candidates[:, 0].tolist())) == 3


@pytest.mark.parametrize("pairing", ["samePrompt", "crossPrompt"])
def test_any_stretch_of_the_stream_is_the_same_however_it_is_cut(pairing: Pairing) -> None:
    source = pairs(pool(FULL), pairing, negatives=2)
    whole = source.groups(0, 130)
    again = pairs(pool(FULL), pairing, negatives=2)
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
        ([[3], [3]], "samePrompt", "found 6 trajectories of 1 policies on 2 prompts"),
        ([[2, 2]], "crossPrompt", "found 4 trajectories of 2 policies on 1 prompts"),
        ([[0, 0]], "samePrompt", "found 0 trajectories of 0 policies on 0 prompts"),
    ],
)
def test_a_part_that_gives_no_pair_is_an_error_with_the_counts(
    samples: list[list[int]], pairing: Pairing, found: str
) -> None:
    with pytest.raises(DataError, match=found):
        pairs(pool(samples), pairing)


def test_the_split_depends_on_names_and_seed_and_not_on_their_order() -> None:
    names = [f"n{i}" for i in range(50)]
    marks = dict(zip(names, hold_out(names, 10, 7).tolist(), strict=True))
    backwards = dict(zip(names[::-1], hold_out(names[::-1], 10, 7).tolist(), strict=True))
    assert marks == backwards
    assert sum(marks.values()) == 10
    assert marks != dict(zip(names, hold_out(names, 10, 8).tolist(), strict=True))


def test_held_out_prompts_are_the_asked_share_and_at_least_one() -> None:
    names = [f"n{i}" for i in range(50)]
    assert held_out_prompts(names, 20, 0).sum() == 10
    assert held_out_prompts(names[:3], 1, 0).sum() == 1
    with pytest.raises(DataError, match="expected at least 2 prompts to hold out 50 percent of, got 1"):
        held_out_prompts(names[:1], 50, 0)


def test_parts_of_a_split_share_no_prompt_and_no_policy() -> None:
    data = pool(FULL)
    split = split_trajectories(data, percent=34, policies=2, seed=5)
    train = split.rows(data, held_out_prompts=False, held_out_policies=False)
    unseen = split.rows(data, held_out_prompts=True, held_out_policies=True)
    assert not set(data.prompt[train]) & set(data.prompt[unseen])
    assert not set(data.policy[train]) & set(data.policy[unseen])
    assert len(set(data.policy[unseen])) == 2
    with pytest.raises(DataError, match="at least 2 policies for training beside 4 held out, got 5"):
        split_trajectories(data, percent=34, policies=4, seed=5)


def test_triplets_are_chosen_then_rejected_and_each_comes_once_per_epoch() -> None:
    count = 7
    data = Preferences(
        prompt_ids=["a", "b"], prompts=["a", "b"], prompt=np.array([0, 1, 0, 1, 0, 1, 0]), wrapper=["sft"] * count,
        texts=[f"{r}{part}" for r in range(count) for part in "rcx"],
        source=Source(files=["f"], file=np.zeros(count, np.int64), line=np.arange(count)),
    )  # fmt: skip
    source = PreferenceTriplets(data, np.arange(count), 0, "training")
    groups = source.groups(0, 2 * count)
    assert sorted((groups.reference[:count] // 3).tolist()) == list(range(count))
    assert [[data.texts[i][-1] for i in row] for row in groups.candidates.tolist()] == [["c", "x"]] * 2 * count
    with pytest.raises(DataError, match="validation: expected at least one triplet"):
        PreferenceTriplets(data, np.arange(0), 0, "validation")
