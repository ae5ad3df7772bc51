import dataclasses

import numpy as np
import pytest
import torch
from dense import dense_score
from pools import corpus_of, pool

from polar import step as step_module
from polar.config import Architecture, Optimizer
from polar.distributed import Dist
from polar.encode import Limits
from polar.errors import CheckpointError
from polar.loss import group_losses
from polar.model import RewardModel, build
from polar.optim import adamw, load_state, state_tensors
from polar.packing import packed_length
from polar.pairs import Groups
from polar.parallel import Net
from polar.step import BadGroups, Stepper, StepResult
from polar.tokenizer import train_tokenizer
from polar.trajectory_pairs import Draw, TrajectoryPairs

DATA = pool([[2, 2, 2]] * 10)
ENCODER = train_tokenizer(DATA.texts, 300)
CORPUS = corpus_of(DATA, ENCODER, Limits(max_length=200, max_response_length=20))
SOURCE = TrajectoryPairs(DATA, "training", Draw(pairing="samePrompt", negatives=2, seed=1), "training")
ARCH = Architecture(
    hidden_size=16, num_layers=2, num_heads=2, num_key_value_heads=1, intermediate_size=32, rope_theta=10_000
)
OPTIONS = Optimizer(
    learning_rate=0.01, batch_triplets=12, schedule="constant", warmup_percent=0, min_learning_rate_percent=0,
    weight_decay=0.1, beta1=0.9, beta2=0.95, gradient_clip=0.0,
)  # fmt: skip


def model() -> RewardModel:
    made = build(ARCH, ENCODER.vocab_size, dropout=0.0, seed=0)
    torch.nn.init.normal_(made.v_head.weight, generator=torch.Generator().manual_seed(1))
    return made


def stepper(net: RewardModel, **options: float) -> Stepper:
    changed = dataclasses.replace(OPTIONS, **options)
    return Stepper(Net(net, Dist()), adamw(net, changed), changed, CORPUS, Dist())


def step(trained: Stepper, groups: Groups) -> StepResult:
    return trained.step(trained.prepare(groups), 0.01)


def test_micro_batches_give_the_gradient_of_the_whole_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    groups = SOURCE.groups(0, 12)
    whole, small = model(), model()
    step(stepper(whole), groups)
    monkeypatch.setitem(step_module.MICRO_BATCH_TOKENS, "cpu", 100)
    step(stepper(small), groups)
    for one, other in zip(whole.parameters(), small.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-4)


def test_loss_and_token_counts_are_those_of_the_batch() -> None:
    net, groups = model(), SOURCE.groups(0, 12)
    sequences = [CORPUS.encode(groups, place) for place in range(12)]
    with torch.no_grad():
        scores = [[dense_score(net, torch.from_numpy(s).long()).item() for s in g] for g in sequences]
    result = step(stepper(net), groups)
    assert result.loss == pytest.approx(group_losses(torch.tensor(scores)).mean().item(), abs=1e-5)
    assert result.computed_tokens == sum(packed_length(g) for g in sequences)
    assert result.tokens == CORPUS.count_tokens(groups).sum()


def test_gradients_are_clipped_to_the_given_norm() -> None:
    net = model()
    before = [p.detach().clone() for p in net.parameters()]
    result = step(stepper(net, gradient_clip=1e-12), SOURCE.groups(0, 12))
    assert result.gradient_norm > 1e-3
    moved = max((p - b).abs().max().item() for p, b in zip(net.parameters(), before, strict=True))
    assert moved < 2e-3  # Adam's first step is at most the rate; clipping to 1e-12 drowns it in eps


def test_a_loss_that_is_not_finite_names_the_rows_and_changes_no_weights() -> None:
    net = model()
    with torch.no_grad():
        net.v_head.weight[0, 0] = float("nan")
    groups = SOURCE.groups(0, 12)
    before = net.model.norm.weight.detach().clone()
    with pytest.raises(BadGroups) as caught:
        step(stepper(net), groups)
    assert caught.value.places.tolist() == list(range(12))
    message = str(caught.value.explain(7, groups, DATA.source, 1))
    assert message.startswith("step 7: the loss or its gradient is not finite for 12 of 12 groups; first rows: ")
    assert f"first rows: {DATA.source.where(int(groups.candidates[0, 0]))}, " in message
    assert "Lower optimizer.learningRate" in message
    assert torch.equal(net.model.norm.weight, before)


def test_matrices_decay_and_norms_do_not() -> None:
    groups = adamw(model(), OPTIONS).param_groups
    assert [g["weight_decay"] for g in groups] == [0.1, 0.0]
    assert {p.ndim for p in groups[0]["params"]} == {2}
    assert {p.ndim for p in groups[1]["params"]} == {1}


def test_optimizer_state_survives_a_round_trip_through_named_tensors() -> None:
    one, other = model(), model()
    first = stepper(one)
    for number in range(3):
        step(first, SOURCE.groups(12 * number, 12))
    saved = state_tensors(first.optimizer, one)
    other.load_state_dict(one.state_dict())
    second = stepper(other)
    load_state(second.optimizer, other, saved)
    for number in range(3, 5):
        step(first, SOURCE.groups(12 * number, 12))
        step(second, SOURCE.groups(12 * number, 12))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_optimizer_state_of_another_model_is_refused() -> None:
    net = model()
    optimizer = adamw(net, OPTIONS)
    with pytest.raises(CheckpointError, match="nothing/exp_avg: the model has no such parameter"):
        load_state(optimizer, net, {"nothing/exp_avg": torch.zeros(1)})
    with pytest.raises(CheckpointError, match=r"v_head.weight/exp_avg: expected shape \(1, 16\), got \(1, 2\)"):
        load_state(optimizer, net, {"v_head.weight/exp_avg": torch.zeros(1, 2)})


def test_only_bad_groups_are_named() -> None:
    bad = BadGroups(np.array([2]))
    groups = SOURCE.groups(0, 12)
    row = int(groups.candidates[2, 0])
    assert f"1 of 12 groups; first rows: {DATA.source.where(row)}." in str(bad.explain(1, groups, DATA.source, 1))
