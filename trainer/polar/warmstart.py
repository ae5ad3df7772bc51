"""Warm start by policy classification: which policy wrote this trajectory? Not part of the paper; off by default.

Small models trained from random weights stay on a plateau at loss 0.693, because only the interaction of reference and
candidate carries signal. Told apart one by one first, policies become features that pre-training can compare. Every
token of a trajectory predicts its policy, in sequences of the form that pre-training uses (two unrelated trajectories),
and every token of the second predicts the first one's policy as well, by a head of its own: what pre-training compares
is then in one place. Both heads are dropped afterwards.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import AdamW

from polar.batches import Corpus
from polar.config import Optimizer, PolicyClassification
from polar.data import Trajectories
from polar.distributed import Dist
from polar.encode import Ids
from polar.model import RewardModel
from polar.optim import adamw, clip_gradients, set_learning_rate
from polar.pairs import Groups
from polar.sampling import EpochOrder, Index
from polar.schedule import learning_rate
from polar.step import MICRO_BATCH_TOKENS, parallel, synchronised

ORDER_KEY = 0x77617273
IGNORED = -100


class PolicyClassifier(nn.Module):
    """The reward model's backbone with two policy heads on the final hidden states: own policy, reference's policy."""

    def __init__(self, model: RewardModel, policies: int) -> None:
        super().__init__()
        self.backbone = model.model
        self.own = nn.Linear(model.v_head.in_features, policies, bias=False)
        self.reference = nn.Linear(model.v_head.in_features, policies, bias=False)
        nn.init.zeros_(self.own.weight)
        nn.init.zeros_(self.reference.weight)

    def forward(self, ids_BT: Tensor, labels_BT2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Cross-entropies summed over the labelled tokens of each head, and how many own policies were told right."""
        hidden = self.backbone(ids_BT)
        losses, right = [], []
        for head, labels_BT in zip((self.own, self.reference), labels_BT2.unbind(dim=-1), strict=True):
            labelled = labels_BT != IGNORED
            logits, labels = head(hidden[labelled]).float(), labels_BT[labelled]
            losses.append(F.cross_entropy(logits, labels, reduction="sum"))
            right.append((logits.argmax(dim=-1) == labels).sum())
        return losses[0], losses[1], right[0]


@dataclass(kw_only=True, frozen=True, slots=True)
class WarmStep:
    """How well own policies were told in one step: means over the labelled tokens of all ranks."""

    step: int
    loss: float
    accuracy: float
    computed_tokens: int


class WarmStart:
    """Trains the backbone of `model` in place. Draws depend on seed and step alone: repeating it gives the same."""

    def __init__(self, model: RewardModel, corpus: Corpus, data: Trajectories, rows: Index, dist: Dist) -> None:
        policies = np.unique(data.policy[rows])
        self._label = np.searchsorted(policies, data.policy)
        self._corpus, self._data, self._rows, self._dist = corpus, data, rows, dist
        self.classifier = PolicyClassifier(model, len(policies)).to(dist.device)
        self._net = parallel(self.classifier, dist)

    def run(self, task: PolicyClassification, options: Optimizer, seed: int) -> Iterator[WarmStep]:
        """Train `task.steps` steps and yield after each. Collective."""
        order = EpochOrder(len(self._rows), seed + ORDER_KEY)
        options = replace(options, learning_rate=task.learning_rate, schedule="cosine")
        optimizer = adamw(self.classifier, options)
        pairs = (task.batch_trajectories + 1) // 2
        for step in range(task.steps):
            drawn = self._rows[order.at(np.arange(2 * pairs) + 2 * pairs * step)]
            set_learning_rate(optimizer, learning_rate(options, step, task.steps))
            yield self._step(optimizer, self._pairs(drawn), options, step + 1)

    def _pairs(self, rows: Index) -> Groups:
        first, second = rows[0::2], rows[1::2]
        prompt = self._data.prompt
        return Groups(prompt[first], first, prompt[second], second[:, None])

    def _step(self, optimizer: AdamW, groups: Groups, options: Optimizer, step: int) -> WarmStep:
        own = groups.take(np.arange(self._dist.rank, len(groups), self._dist.world_size))
        lengths = np.diff(self._corpus.responses.offsets)
        first, second = lengths[groups.reference] + 1, lengths[groups.candidates[:, 0]] + 1
        labelled, carried = int((first + second).sum()), int(second.sum())
        sums = {"loss": 0.0, "right": 0.0, "computed": 0.0}
        batches = list(self._batches(own))
        for number, (ids, labels) in enumerate(batches, start=1):
            with synchronised(self._net, last=number == len(batches)):
                own_loss, carried_loss, right = self._net(ids.to(self._dist.device), labels.to(self._dist.device))
                mean = own_loss / labelled + carried_loss / carried
                (mean * self._dist.world_size).backward()
            sums["loss"] += float(own_loss.detach())
            sums["right"] += float(right)
            sums["computed"] += float(ids.numel())
        sums = self._dist.sum(sums)
        clip_gradients(self.classifier.parameters(), options.gradient_clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return WarmStep(
            step=step,
            loss=sums["loss"] / labelled,
            accuracy=sums["right"] / labelled,
            computed_tokens=int(sums["computed"]),
        )

    def _batches(self, groups: Groups) -> Iterator[tuple[Tensor, Tensor]]:
        """Padded sequences and labels, sorted by length, in batches of limited size."""
        sequences = [self._corpus.encode(groups, row)[0] for row in range(len(groups))]
        order = sorted(range(len(groups)), key=lambda row: -len(sequences[row]))
        most = MICRO_BATCH_TOKENS[self._dist.device.type]
        while order:
            width = len(sequences[order[0]])
            chosen, order = order[: max(1, most // width)], order[max(1, most // width) :]
            ids = torch.full((len(chosen), width), self._corpus.ids.pad, dtype=torch.int64)
            labels = torch.full((len(chosen), width, 2), IGNORED, dtype=torch.int64)
            for place, row in enumerate(chosen):
                ids[place, : len(sequences[row])] = torch.from_numpy(sequences[row])
                self._mark(labels[place], sequences[row], groups, row)
            yield ids, labels

    def _mark(self, labels: Tensor, sequence: Ids, groups: Groups, row: int) -> None:
        """Label both responses, each with the special token after it [T, 2]."""
        separator = int(np.flatnonzero(sequence == self._corpus.ids.separator)[0])
        reference, candidate = groups.reference[row], groups.candidates[row, 0]
        for response, end in ((reference, separator), (candidate, len(sequence) - 1)):
            start = end - len(self._corpus.responses[response])
            labels[start : end + 1, 0] = int(self._label[response])
        labels[start : end + 1, 1] = int(self._label[reference])
