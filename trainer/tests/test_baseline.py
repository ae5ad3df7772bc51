"""The unigram, length and style baseline: what it can see, what it cannot, and how it refuses nonsense."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import numpy as np
import pytest

from polar import baseline_job
from polar.baseline import FEATURES, PairText, fit_baseline, style_features

WORDS = ["tide", "lamp", "wall", "fox", "rain", "clock", "boat", "ember", "step", "bee"]


def sentence(rng: random.Random, length: int, mark: str = ".") -> str:
    return " ".join(rng.choice(WORDS) for _ in range(length)) + mark


def pairs_by_length(count: int, seed: int) -> list[PairText]:
    """The policy of reference and positive is short- or long-winded, that of the negative the other."""
    rng = random.Random(seed)
    rows = []
    for _ in range(count):
        own, other = rng.sample([8, 30], 2)
        rows.append((sentence(rng, own), sentence(rng, own), sentence(rng, other)))
    return rows


def pairs_by_order(count: int, seed: int) -> list[PairText]:
    """One policy counts up and the other down: same words, same length, another order."""
    rng = random.Random(seed)
    rows = []
    for _ in range(count):
        step = rng.choice([1, -1])

        def run(direction: int) -> str:
            start = rng.randrange(10)
            return " ".join(WORDS[(start + direction * i) % 10] for i in range(10))

        rows.append((run(step), run(step), run(-step)))
    return rows


def test_tells_policies_of_different_length_apart_on_unseen_pairs() -> None:
    assert fit_baseline(pairs_by_length(200, 1)).accuracy(pairs_by_length(200, 2)) > 0.95


def test_stays_at_chance_when_only_the_order_of_words_differs() -> None:
    assert 0.4 < fit_baseline(pairs_by_order(400, 1)).accuracy(pairs_by_order(400, 2)) < 0.6


def test_sees_shared_words() -> None:
    rng = random.Random(3)

    def pair() -> PairText:
        own, other = rng.sample([WORDS[:5], WORDS[5:]], 2)
        texts = [" ".join(rng.choice(words) for _ in range(12)) for words in (own, own, other)]
        return texts[0], texts[1], texts[2]

    rows = [pair() for _ in range(300)]
    assert fit_baseline(rows[:150]).accuracy(rows[150:]) > 0.95


def test_counts_a_tie_as_one_half() -> None:
    baseline = fit_baseline(pairs_by_length(50, 1))
    assert baseline.accuracy([("a b c.", "d e f.", "d e f.")]) == 0.5


def test_gives_the_same_number_of_finite_features_for_any_text() -> None:
    for text in ("", " ", "a", "# Title\n\n- **x**: 1\n```\ncode\n```", "日本語。", "\x00"):
        features = style_features(text)
        assert features.shape == (len(FEATURES),)
        assert np.isfinite(features).all()


def test_a_text_that_fell_into_a_loop_of_empty_lines_is_read_in_time_that_grows_with_its_length() -> None:
    started = time.process_time()
    style_features("word" + "\n" * 40_000)
    assert time.process_time() - started < 5


def test_is_the_same_whenever_it_is_fitted() -> None:
    first, second = (fit_baseline(pairs_by_length(60, 1)) for _ in range(2))
    assert np.array_equal(first.weights, second.weights)


def test_survives_a_feature_that_separates_the_training_pairs_perfectly() -> None:
    baseline = fit_baseline([("a", "a", "b" * 400)] * 3)
    assert np.isfinite(baseline.weights).all()


@pytest.mark.parametrize("act", [lambda: fit_baseline([]), lambda: fit_baseline(pairs_by_length(5, 1)).accuracy([])])
def test_refuses_no_pairs_at_all(act: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="got none"):
        act()


def test_a_process_of_its_own_gives_the_same_and_is_not_waited_for() -> None:
    train, seen = pairs_by_length(60, 1), pairs_by_length(60, 2)
    job = baseline_job.BaselineJob(lambda: train, lambda: {"seen": seen})
    assert job.result(wait=False) is None
    assert job.result(wait=True) == {"seen": fit_baseline(train).accuracy(seen)} == job.result(wait=False)
