"""Our contender: the trainer's own step on groups of token sequences."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

import workload
from backbone import read_model
from polar.config import Optimizer
from polar.distributed import Dist
from polar.encode import Ids, SpecialIds
from polar.optim import adamw
from polar.pairs import Groups
from polar.step import Stepper
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

    def encode(self, groups: Groups, row: int) -> list[Ids]:
        """The sequences of one group."""
        return self.sequences[int(groups.reference[row])]

    def count_tokens(self, groups: Groups) -> np.ndarray:
        """Tokens by group; the step only sorts and reports by them."""
        return np.array([sum(len(s) for s in self.sequences[int(i)]) for i in groups.reference])


def special_ids() -> SpecialIds:
    """The ids of the generated workload."""
    joiner = np.array([workload.FIRST_TEXT_ID], dtype=np.int32)
    return SpecialIds(
        bos=workload.BOS, pad=workload.PAD, separator=workload.SEPARATOR, reward=workload.REWARD, joiner=joiner
    )


class Trainer:
    """A model, its optimizer and its stepper over one workload."""

    def __init__(self, size: Size, weights: Path, sequences: list[list[Ids]], device: str) -> None:
        self.size, self.sequences = size, sequences
        dist = Dist(rank=0, world_size=1, device=torch.device(device))
        self.model = read_model(size, weights).to(dist.device)
        corpus = TokenCorpus(sequences, special_ids())
        self.stepper = Stepper(self.model, adamw(self.model, OPTIONS), OPTIONS, corpus, dist)  # type: ignore[arg-type]
        self.computed_tokens = 0

    def epoch(self) -> None:
        """Every group once, in batches."""
        self.computed_tokens = 0
        for start in range(0, len(self.sequences), self.size.batch):
            numbers = np.arange(start, min(start + self.size.batch, len(self.sequences)))
            self.computed_tokens += self.stepper.step(_groups(numbers), LEARNING_RATE).computed_tokens


def _groups(numbers: np.ndarray) -> Groups:
    return Groups(numbers, numbers, numbers, numbers[:, None])
