"""Warm start by policy classification: which policy wrote this trajectory? Not part of the paper; off by default.

Small models trained from random weights stay on a plateau at loss 0.693: only the interaction of reference and
candidate carries signal. Told apart one by one first, policies become features to compare. Two stages:

  single  60 % of the steps, sequences `BOS prompt output <|reward|>` through the lower third of the layers: every token
          of the output predicts its policy. Cheap, so it sees most trajectories.
  pair    then sequences as pre-training uses them, of two unrelated trajectories, through two thirds of the layers: the
          same head on every token of both, and a second head by which each token of the second predicts the first one's
          policy. What pre-training compares is then in one place, and the upper layers are left to compare it.

The heads are dropped afterwards.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import AdamW

from polar.batches import Corpus
from polar.config import Optimizer, PolicyClassification
from polar.distributed import Dist
from polar.encode import Ids
from polar.errors import ConfigError, NonFiniteLossError
from polar.model import NORM_EPS, RewardModel
from polar.optim import adamw, set_learning_rate
from polar.packing import FILLER, Packed, micro_batches
from polar.parallel import Net
from polar.sampling import EpochOrder, Index
from polar.schedule import learning_rate
from polar.step import MICRO_BATCH_TOKENS

ORDER_KEY = 0x77617273
IGNORED = -100
SINGLE_SHARE = 0.6
PAIR_RATE = 0.75
NOT_FINITE = "warm start: the loss or its gradient is not finite. Lower warmStart.policyClassification.learningRate"


class PolicyClassifier(nn.Module):
    """The lower layers of a decoder with linear heads on their normalised output, one head per column of labels."""

    def __init__(self, model: RewardModel, depth: int, heads: list[nn.Linear]) -> None:
        super().__init__()
        decoder = model.model
        self._decoder = [decoder]  # in a list: only the parts used here are submodules
        self.depth, self.embed_tokens = depth, decoder.embed_tokens
        self.layers, self.heads = nn.ModuleList(list(decoder.layers)[:depth]), nn.ModuleList(heads)

    def forward(self, packed: Packed, labels_NK: Tensor) -> tuple[Tensor, Tensor]:
        """Cross-entropy summed over the labelled tokens, per head [K], and the number told right, per head [K]."""
        residual = self._decoder[0].residual(packed, self.depth)
        hidden = F.rms_norm(residual.float(), (residual.shape[-1],), eps=NORM_EPS)
        losses, right = [], []
        for head, labels_N in zip(self.heads, labels_NK.unbind(dim=-1), strict=True):
            labelled = labels_N != IGNORED
            logits, labels = head(hidden[labelled]), labels_N[labelled]
            losses.append(F.cross_entropy(logits, labels, reduction="sum"))
            right.append((logits.argmax(dim=-1) == labels).sum())
        return torch.stack(losses), torch.stack(right)


@dataclass(kw_only=True, frozen=True, slots=True)
class WarmStep:
    """How well policies were told in one step: means over the labelled tokens of all ranks."""

    step: int
    loss: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Labelled:
    """A token sequence with the policy each token predicts, per head [T, K]; IGNORED where none is."""

    ids: Ids
    labels: Index


class WarmStart:
    """Trains a model in place. Draws depend on seed and step alone, so repeating it gives the same weights."""

    def __init__(self, net: Net, corpus: Corpus, dist: Dist) -> None:
        self.most_tokens = MICRO_BATCH_TOKENS[dist.device.type]
        if net.sharded:
            raise ConfigError("warmStart: expected engine.sharding none: only small models need a warm start")
        self._net = net
        self._model: RewardModel = net.model
        self._corpus, self._rows, self._dist = corpus, corpus.data.parts["training"], dist
        self._classes = len(corpus.data.policies)

    def run(self, task: PolicyClassification, options: Optimizer, seed: int) -> Iterator[WarmStep]:
        """Train `task.steps` steps and yield after each. Collective."""
        layers = len(self._model.model.layers)
        own = self._head()
        single = math.ceil(task.steps * SINGLE_SHARE)
        single_options = replace(options, learning_rate=task.learning_rate, schedule="cosine")
        classifier = PolicyClassifier(self._model, math.ceil(layers / 3), [own])
        yield from self._stage(classifier, task, single_options, seed, range(single))
        self._copy_separator_embedding()
        pair_options = replace(single_options, learning_rate=task.learning_rate * PAIR_RATE)
        classifier = PolicyClassifier(self._model, math.ceil(2 * layers / 3), [own, self._head()])
        yield from self._stage(classifier, task, pair_options, seed, range(single, task.steps))

    def _stage(
        self, classifier: PolicyClassifier, task: PolicyClassification, options: Optimizer, seed: int, steps: range
    ) -> Iterator[WarmStep]:
        order = EpochOrder(len(self._rows), seed + ORDER_KEY)
        optimizer, net = adamw(classifier, options), self._net.of(classifier)
        batch = whole_batch(task.batch_trajectories, self._dist.world_size)
        for step in steps:
            drawn = self._rows.start + order.at(np.arange(batch) + batch * step)
            sequences = self._pairs(drawn) if len(classifier.heads) == 2 else self._singles(drawn)
            set_learning_rate(optimizer, learning_rate(options, step - steps.start, len(steps)))
            loss, accuracy = self._step(net, optimizer, sequences, options)
            yield WarmStep(step=step + 1, loss=loss, accuracy=accuracy)

    def _step(self, net: Net, optimizer: AdamW, sequences: list[Labelled], options: Optimizer) -> tuple[float, float]:
        """One optimizer step; returns the own-policy head's loss and accuracy. Raises NonFiniteLossError."""
        counts = np.sum([(s.labels != IGNORED).sum(axis=0) for s in sequences], axis=0)
        weights = torch.tensor(self._dist.world_size / counts, device=self._dist.device, dtype=torch.float32)
        sums = {"loss": 0.0, "right": 0.0}
        batches = list(self._batches(sequences[self._dist.rank :: self._dist.world_size]))
        nothing = (FILLER, torch.full((FILLER.tokens, len(weights)), IGNORED))
        for (packed, labels), _ in net.share(batches, nothing):
            losses, right = net(packed.to(self._dist.device), labels.to(self._dist.device))
            net.backward(losses @ weights)
            sums["loss"] += float(losses[0].detach())
            sums["right"] += float(right[0])
        sums = self._dist.sum(sums)
        if not math.isfinite(sums["loss"]):
            raise NonFiniteLossError(NOT_FINITE)
        norm = net.update(optimizer, options.gradient_clip)
        if norm is None:
            return self._step(net, optimizer, sequences, options)
        if not math.isfinite(norm):
            raise NonFiniteLossError(NOT_FINITE)
        return sums["loss"] / counts[0], sums["right"] / counts[0]

    def _singles(self, rows: Index) -> list[Labelled]:
        return [self._sequence(row, row, single=True) for row in rows]

    def _pairs(self, rows: Index) -> list[Labelled]:
        return [
            self._sequence(first, second, single=False) for first, second in zip(rows[::2], rows[1::2], strict=True)
        ]

    def _sequence(self, first: int, second: int, *, single: bool) -> Labelled:
        """The sequence of two trajectories, or its first half, with both responses (and their ends) labelled."""
        ids = self._corpus.encode_pair(int(first), int(second))
        separator = int(np.flatnonzero(ids == self._corpus.ids.separator)[0])
        labels_of = self._corpus.data.policy[[first, second]]
        lengths = [self._corpus.response_length(row) for row in (first, second)]
        labels = np.full((len(ids), 2), IGNORED, dtype=np.int64)
        labels[separator - lengths[0] : separator + 1, 0] = labels_of[0]
        labels[len(ids) - 1 - lengths[1] :, 0] = labels_of[1]
        labels[len(ids) - 1 - lengths[1] :, 1] = labels_of[0]
        return Labelled(ids[: separator + 1], labels[: separator + 1, :1]) if single else Labelled(ids, labels)

    def _batches(self, sequences: list[Labelled]) -> Iterator[tuple[Packed, Tensor]]:
        """Packed sequences and the labels of their tokens [N, K], in batches of limited size."""
        for packed in micro_batches([[s.ids] for s in sequences], self.most_tokens):
            yield packed, torch.from_numpy(np.concatenate([sequences[i].labels for i in packed.order]))

    def _head(self) -> nn.Linear:
        head = nn.Linear(self._model.v_head.in_features, self._classes, bias=False)
        nn.init.zeros_(head.weight)
        return head.to(self._dist.device)

    @torch.no_grad()
    def _copy_separator_embedding(self) -> None:
        """The reward token ends the second trajectory as the separator ends the first."""
        weight = self._model.model.embed_tokens.weight
        weight[self._corpus.ids.reward] = weight[self._corpus.ids.separator]


def whole_batch(trajectories: int, ranks: int) -> int:
    """The trajectories of a step, rounded up to whole pairs and to a pair for every rank: none may be without work."""
    return 2 * max(ranks, math.ceil(trajectories / 2))
