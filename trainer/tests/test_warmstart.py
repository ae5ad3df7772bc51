import numpy as np
import pytest
import torch
from pools import corpus_of, pool

from polar.config import Architecture, Optimizer, PolicyClassification
from polar.distributed import Dist
from polar.encode import Limits
from polar.model import RewardModel, build
from polar.parallel import Net
from polar.precision import LossScale
from polar.tokenizer import train_tokenizer
from polar.warmstart import IGNORED, WarmStart, whole_batch

DATA = pool([[2, 2, 2]] * 10)
ENCODER = train_tokenizer(DATA.texts, 300)
CORPUS = corpus_of(DATA, ENCODER, Limits(max_length=200, max_response_length=20))
ARCH = Architecture(
    hidden_size=16, num_layers=2, num_heads=2, num_key_value_heads=1, intermediate_size=32, rope_theta=10_000
)
OPTIONS = Optimizer(
    learning_rate=0.5, batch_triplets=12, schedule="cosine", warmup_percent=5, min_learning_rate_percent=10,
    weight_decay=0.0, beta1=0.9, beta2=0.95, gradient_clip=1.0,
)  # fmt: skip
NET = Net(build(ARCH, ENCODER.vocab_size, 0.0, 0), Dist())


def warm(model: RewardModel, steps: int = 40) -> list[float]:
    task = PolicyClassification(steps=steps, batch_trajectories=10, learning_rate=0.01)
    start = WarmStart(Net(model, Dist()), CORPUS, Dist())
    return [done.loss for done in start.run(task, OPTIONS, 4)]


def test_policies_are_learned_and_the_head_on_the_reward_token_is_left_alone() -> None:
    model = build(ARCH, ENCODER.vocab_size, 0.0, 0)
    losses = warm(model)
    assert losses[-1] < losses[0] - 0.1
    assert not model.v_head.weight.any()
    assert all(p.grad is None for p in model.parameters())


def test_repeating_it_gives_the_same_weights() -> None:
    one, two = build(ARCH, ENCODER.vocab_size, 0.0, 0), build(ARCH, ENCODER.vocab_size, 0.0, 0)
    assert warm(one, 5) == warm(two, 5)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_a_gradient_that_fp16_cannot_hold_is_tried_again_with_a_smaller_loss_scale(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("polar.parallel.LossScale", lambda: LossScale(2.0**24))
    model = build(ARCH, ENCODER.vocab_size, 0.0, 0)
    task = PolicyClassification(steps=2, batch_trajectories=10, learning_rate=0.01)
    net = Net(model, Dist(), torch.float16)
    losses = [done.loss for done in WarmStart(net, CORPUS, Dist()).run(task, OPTIONS, 4)]
    assert np.isfinite(losses).all()
    assert all(p.isfinite().all() for p in model.parameters())


def test_every_token_of_a_response_predicts_its_policy_and_the_seconds_predict_the_firsts_too() -> None:
    start = WarmStart(NET, CORPUS, Dist())
    for sequence in start._pairs(np.array([0, 25, 3, 40])):
        ids, own, reference = sequence.ids.tolist(), sequence.labels[:, 0].tolist(), sequence.labels[:, 1].tolist()
        separator, end = ids.index(ENCODER.ids.separator), len(ids) - 1
        assert ids[end] == ENCODER.ids.reward
        assert own[0] == IGNORED
        assert set(own[: separator + 1]) == {IGNORED, own[separator]}
        assert set(own[separator + 1 :]) == {IGNORED, own[end]}
        assert set(reference) == {IGNORED, own[separator]}
        labelled_second = [i for i, label in enumerate(own) if label != IGNORED and i > separator]
        assert [i for i, label in enumerate(reference) if label != IGNORED] == labelled_second


def test_a_single_sequence_is_the_first_half_of_a_pair() -> None:
    start = WarmStart(NET, CORPUS, Dist())
    (pair,), (single,) = start._pairs(np.array([7, 7])), start._singles(np.array([7]))
    assert single.ids.tolist() == pair.ids[: len(single.ids)].tolist()
    assert single.ids[-1] == ENCODER.ids.separator
    assert single.labels[:, 0].tolist() == pair.labels[: len(single.ids), 0].tolist()


def test_a_batch_has_a_pair_for_every_rank() -> None:
    assert [whole_batch(1, 1), whole_batch(5, 2), whole_batch(64, 2), whole_batch(2, 3)] == [2, 6, 64, 6]
