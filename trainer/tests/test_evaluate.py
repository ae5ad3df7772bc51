import numpy as np
import pytest
import torch
from dense import dense_score
from pools import corpus_of, pool

from polar.config import Architecture
from polar.distributed import Dist
from polar.encode import Limits
from polar.evaluate import PairSet, pair_margins
from polar.model import build
from polar.parallel import Net
from polar.tokenizer import train_tokenizer
from polar.trajectory_pairs import Draw, TrajectoryPairs

DATA = pool([[2, 2, 2]] * 10)
ENCODER = train_tokenizer(DATA.texts, 300)
CORPUS = corpus_of(DATA, ENCODER, Limits(max_length=200, max_response_length=20))


def pair_set(pairs: int = 1000) -> PairSet:
    draw = Draw(pairing="samePrompt", negatives=1, seed=1)
    return PairSet(CORPUS, TrajectoryPairs(DATA, "training", draw, "validation"), pairs)


def test_there_are_as_many_pairs_as_asked_for_or_as_there_are_references() -> None:
    assert len(pair_set(15).groups) == 15
    assert len(pair_set().groups) == 60


def test_loss_and_accuracy_are_those_of_the_margins_and_a_tie_counts_one_half() -> None:
    margin = np.tile([2.0, -1.0, 0.0], 20)
    score = pair_set().summarise(margin)
    assert score.pairs == 60
    assert score.accuracy == pytest.approx(0.5)
    assert score.loss == pytest.approx(np.log1p(np.exp([-2.0, 1.0, 0.0])).mean())


def test_the_interval_covers_the_accuracy_and_comes_out_the_same_twice() -> None:
    margin = np.random.default_rng(0).normal(0.5, 1, 60)
    score, again = pair_set().summarise(margin), pair_set().summarise(margin)
    assert score == again
    assert score.accuracy_lower < score.accuracy < score.accuracy_upper
    assert 0 < score.loss_standard_error < score.loss


def test_pairs_that_agree_within_each_prompt_give_a_wider_interval_than_independent_ones() -> None:
    pairs = pair_set()
    prompts = pairs.groups.candidate_prompt
    by_prompt = np.where(prompts % 2 == 0, 1.0, -1.0)
    within_prompt = np.where(np.arange(60) % 2 == 0, 1.0, -1.0)
    clustered, mixed = pairs.summarise(by_prompt), pairs.summarise(within_prompt)
    assert clustered.accuracy_upper - clustered.accuracy_lower > 2 * (mixed.accuracy_upper - mixed.accuracy_lower)


def test_margins_are_the_scores_of_each_pair_whatever_the_batching() -> None:
    arch = Architecture(
        hidden_size=16, num_layers=2, num_heads=2, num_key_value_heads=1, intermediate_size=32, rope_theta=10_000
    )
    model = build(arch, ENCODER.vocab_size, dropout=0.5, seed=0)
    torch.nn.init.normal_(model.v_head.weight)
    groups = pair_set(12).groups
    got = pair_margins(Net(model, Dist()), (CORPUS, groups), Dist())
    assert model.training
    model.eval()
    for place in range(12):
        scores = [
            dense_score(model, torch.from_numpy(s).long()).item()
            for s in CORPUS.encode(groups, place)
        ]
        assert got[place] == pytest.approx(scores[0] - scores[1], abs=1e-5)


def test_margins_do_not_depend_on_how_many_pairs_are_encoded_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    arch = Architecture(
        hidden_size=16, num_layers=2, num_heads=2, num_key_value_heads=1, intermediate_size=32, rope_theta=10_000
    )
    model = build(arch, ENCODER.vocab_size, dropout=0.0, seed=0)
    torch.nn.init.normal_(model.v_head.weight)
    groups = pair_set(12).groups
    together = pair_margins(Net(model, Dist()), (CORPUS, groups), Dist())
    monkeypatch.setattr("polar.evaluate.PAIRS_AT_ONCE", 5)
    assert pair_margins(Net(model, Dist()), (CORPUS, groups), Dist()) == pytest.approx(together, abs=1e-5)
