"""What the ranks of test_parallel.py do: train a tiny model for a few steps, however it is split."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.optim import AdamW

from polar.checkpoint import Snapshot
from polar.config import Architecture, Optimizer
from polar.config_runtime import Engine
from polar.distributed import Dist
from polar.loss import group_losses
from polar.model import RewardModel, build
from polar.optim import adamw, load_state, state_tensors
from polar.packing import FILLER, Packed, micro_batches
from polar.parallel import Net, place
from polar.resume import load_agreed
from polar.retention import Keep
from polar.saver import Home, Saver
from polar.state import fill_model, load_weights

ARCH = Architecture(
    hidden_size=24, num_layers=3, num_heads=2, num_key_value_heads=1, intermediate_size=40, rope_theta=10_000
)
VOCABULARY = 37
OPTIONS = Optimizer(
    learning_rate=0.01, batch_triplets=7, schedule="constant", warmup_percent=0, min_learning_rate_percent=0,
    weight_decay=0.1, beta1=0.9, beta2=0.95, gradient_clip=0.5,
)  # fmt: skip


@dataclass(frozen=True)
class Trained:
    """What is compared: losses and gradient norms by step, and the whole weights in the end."""

    losses: list[float]
    norms: list[float]
    weights: dict[str, npt.NDArray[np.float32]]
    sharded: bool


def groups(step: int, count: int) -> list[list[np.ndarray]]:
    """Random groups with a common prefix, two candidates each."""
    rng = np.random.default_rng(step)
    made = []
    for _ in range(count):
        prefix = rng.integers(1, VOCABULARY, int(rng.integers(2, 9)))
        made.append([np.concatenate([prefix, rng.integers(1, VOCABULARY, int(rng.integers(2, 9)))]) for _ in range(2)])
    return made


def weights() -> dict[str, Tensor]:
    """The weights everyone starts from; no zero head and no tiny embedding, which would blow up rounding."""
    model = build(ARCH, VOCABULARY, 0.0, seed=3)
    generator = torch.Generator().manual_seed(1)
    for weight in (model.model.embed_tokens.weight, model.v_head.weight):
        torch.nn.init.normal_(weight, std=0.5, generator=generator)
    return dict(model.state_dict())


def whole(tensor: Tensor) -> Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def train(dist: Dist, engine: Engine, shares: list[int], most_tokens: int = 10_000) -> Trained:
    """Three steps over groups of which rank r takes shares[r], in micro-batches of at most `most_tokens`."""
    net = place(lambda: RewardModel(ARCH, VOCABULARY), engine, dist)
    fill_model(net.module, weights().items(), "test")
    return steps(net, adamw(net.module, OPTIONS), (range(3), shares), most_tokens)


def save(dist: Dist, engine: Engine, shares: list[int], root: Path) -> Trained:
    """Two steps, then a checkpoint, then a third step while it is written."""
    net = place(lambda: RewardModel(ARCH, VOCABULARY), engine, dist)
    fill_model(net.module, weights().items(), "test")
    optimizer = adamw(net.module, OPTIONS)
    saver = Saver(Home(root=root), keep=Keep(last=5, best=1), dist=dist)
    steps(net, optimizer, (range(2), shares))
    saver.submit(Snapshot(
        step=2, tokens=2, model=dict(net.module.state_dict()), optimizer=state_tensors(optimizer, net.module),
        rng=dist.gather_rng(), state={}, config={}, tokenizer_json="{}", world_size=dist.world_size,
    ))  # fmt: skip
    trained = steps(net, optimizer, (range(2, 3), shares))
    saver.close()
    dist.barrier()
    return trained


def go_on(dist: Dist, engine: Engine, shares: list[int], root: Path) -> Trained:
    """The third step, from the newest checkpoint."""
    loaded = load_agreed(root, dist)
    assert loaded is not None and loaded.info.step == 2
    net = place(lambda: RewardModel(ARCH, VOCABULARY), engine, dist)
    load_weights(net.module, loaded)
    optimizer = adamw(net.module, OPTIONS)
    load_state(optimizer, net.module, loaded.optimizer)
    return steps(net, optimizer, (range(2, 3), shares))


def steps(net: Net, optimizer: AdamW, what: tuple[range, list[int]], most_tokens: int = 10_000) -> Trained:
    """Steps with these numbers, shared like this."""
    numbers, shares = what
    dist = net.dist
    losses, norms = [], []
    total, first = sum(shares), sum(shares[: dist.rank])
    for step in numbers:
        own = groups(step, total)[first : first + shares[dist.rank]]
        norm = None
        while norm is None:  # with fp16 until the loss scale is small enough
            loss = one_step(net, own, total, most_tokens)
            norm = net.update(optimizer, OPTIONS.gradient_clip)
        assert math.isfinite(norm)
        losses.append(dist.sum({"loss": loss})["loss"] / total)
        norms.append(norm)
    return Trained(losses, norms, {k: whole(v).numpy() for k, v in net.module.state_dict().items()}, net.sharded)


def one_step(net: Net, own: list[list[np.ndarray]], total: int, most_tokens: int) -> float:
    """The sum of the losses of this rank's groups, whose gradients are left in the model."""
    batches: list[Packed] = list(micro_batches(own, most_tokens))
    loss = 0.0
    for batch, real in net.share(batches, FILLER):
        per_group = group_losses(net(batch).view(-1, batch.candidates))
        net.backward(per_group.sum() * (net.dist.world_size / total if real else 0.0))
        loss += float(per_group.detach().sum()) if real else 0.0
    return loss


def several(dist: Dist, runs: dict[str, tuple[Engine, list[int], int]]) -> dict[str, Any]:
    """Named runs one after another."""
    return {name: train(dist, *arguments) for name, arguments in runs.items()}
