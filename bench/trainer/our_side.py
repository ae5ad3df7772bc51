"""Our contender: the trainer's own step on groups of token sequences."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from polar import step
from polar.config import Optimizer
from polar.config_runtime import Engine
from polar.distributed import Dist
from polar.encode import Ids, SpecialIds
from polar.model import RewardModel
from polar.optim import adamw
from polar.packing import micro_batches, pack
from polar.pairs import Groups
from polar.parallel import place
from polar.step import Stepper
from safetensors.torch import load_file

import workload
from backbone import architecture
from sizes import Size

LEARNING_RATE = 1e-5
OPTIONS = Optimizer(
    learning_rate=LEARNING_RATE,
    batch_triplets=1,
    schedule="constant",
    warmup_percent=0,
    min_learning_rate_percent=100,
    weight_decay=0.0,
    beta1=0.9,
    beta2=0.999,
    gradient_clip=1.0,
)


@dataclass(frozen=True, slots=True)
class TokenCorpus:
    """Groups that are tokens already; stands where a run has its tokenised corpus."""

    sequences: list[list[Ids]]
    ids: SpecialIds

    def encode_all(self, groups: Groups) -> list[list[Ids]]:
        """The sequences of every group."""
        return [self.sequences[int(i)] for i in groups.reference]

    def count_tokens(self, groups: Groups) -> np.ndarray:
        """Tokens by group; the step only sorts and reports by them."""
        return np.array([sum(len(s) for s in self.sequences[int(i)]) for i in groups.reference])


def special_ids() -> SpecialIds:
    """The ids of the generated workload."""
    return SpecialIds(bos=workload.BOS, pad=workload.PAD, separator=workload.SEPARATOR, reward=workload.REWARD)


class Trainer:
    """A model, its optimizer and its stepper over one workload. `share` False computes every sequence whole."""

    def __init__(self, size: Size, weights: Path, sequences: list[list[Ids]], spec: dict[str, Any]) -> None:
        self.batch, self.sequences = size.batch, sequences
        dist = Dist(rank=0, world_size=1, device=torch.device(spec["device"]))
        net = place(lambda: RewardModel(architecture(size), size.vocab_size), Engine(), dist)
        net.model.load_state_dict(load_file(weights, device=str(dist.device)))
        net.train()
        self.net = net
        corpus: Any = TokenCorpus(sequences, special_ids())
        self.stepper = Stepper(net, adamw(net.model, OPTIONS), OPTIONS, corpus, dist)
        if not spec.get("share", True):
            step.micro_batches = partial(micro_batches, share=False)
        if spec.get("most_tokens"):
            self.stepper.most_tokens = spec["most_tokens"]
        self.computed_tokens = 0
        self.loss = 0.0

    def epoch(self) -> None:
        """Every group once, in batches."""
        results = []
        for start in range(0, len(self.sequences), self.batch):
            numbers = np.arange(start, min(start + self.batch, len(self.sequences)))
            results.append(self.stepper.step(self.stepper.prepare(_groups(numbers)), LEARNING_RATE))
        self.computed_tokens = sum(r.computed_tokens for r in results)
        self.loss = float(np.mean([r.loss for r in results]))

    def scores(self, groups: list[list[Ids]]) -> list[float]:
        """One score per sequence, sequence by sequence."""
        with torch.no_grad():
            packed = [pack([group], np.zeros(1, dtype=np.int64)).to(self.stepper.dist.device) for group in groups]
            return [float(score) for one in packed for score in self.net(one)]


def _groups(numbers: np.ndarray) -> Groups:
    return Groups(numbers, numbers, numbers, numbers[:, None])
