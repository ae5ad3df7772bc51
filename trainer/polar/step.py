"""One optimizer step over a batch of groups that all ranks share."""

import time
from dataclasses import dataclass, field

import numpy as np
from torch.optim import AdamW

from polar.batches import Corpus
from polar.config import Optimizer
from polar.data import Source
from polar.distributed import Dist
from polar.flops import step_flops
from polar.loader import Batch
from polar.loss import group_losses, ranked_right
from polar.optim import set_learning_rate
from polar.packing import FILLER, micro_batches
from polar.pairs import Groups
from polar.parallel import Net
from polar.stragglers import OwnTime

MICRO_BATCH_TOKENS = {"cpu": 2_048, "cuda": 65_536}  # larger ones are no faster on a CPU and take more memory
ROWS_SHOWN = 5


@dataclass(kw_only=True, frozen=True, slots=True)
class StepResult:
    """Means over the groups of all ranks, counts over all ranks, and what each rank took before it waited.

    seconds: from asking for the batch; wait_seconds of them passed before this rank had it. useful_flops: see
    `flops.Flops`.
    """

    loss: float
    accuracy: float
    tokens: int
    computed_tokens: int
    gradient_norm: float
    seconds: float
    wait_seconds: float
    useful_flops: float = 0.0
    own_seconds: list[float] = field(default_factory=list)


class Stepper:
    """What a step needs besides its batch. `most_tokens` of a micro-batch may be set to what fits the memory."""

    def __init__(self, net: Net, optimizer: AdamW, options: Optimizer, corpus: Corpus, dist: Dist) -> None:
        self.net, self.model, self.optimizer, self.options = net, net.model, optimizer, options
        self.most_tokens = MICRO_BATCH_TOKENS[dist.device.type]
        self.corpus, self.dist, self.own_time = corpus, dist, OwnTime(dist)

    def prepare(self, groups: Groups) -> Batch:
        """This rank's share of a batch, dealt out from the longest group to the shortest, encoded and packed."""
        tokens = self.corpus.count_tokens(groups)
        own = np.argsort(-tokens, kind="stable")[self.dist.rank :: self.dist.world_size]
        micro = list(micro_batches(self.corpus.encode_all(groups.take(own)), self.most_tokens))
        return Batch(groups, own, micro, tokens)

    def step(self, batch: Batch, learning_rate: float) -> StepResult:
        """Train on one batch. Collective. Raises BadGroups when a loss or the gradient is not finite."""
        started = time.monotonic() - batch.wait_seconds
        self.own_time.start()
        groups, own = batch.groups, batch.own
        losses, right, counts = self._gradients(batch)
        bad = not bool(np.isfinite(losses).all())
        own_part = {"loss": losses.sum(), "right": right.sum(), "bad": bad, **counts}
        times = self.own_time.part(batch.wait_seconds)
        sums = self.dist.sum({name: float(value) for name, value in own_part.items()} | times)
        if sums["bad"]:
            raise BadGroups(self._agree_on(own[~np.isfinite(losses)], len(groups)))
        set_learning_rate(self.optimizer, learning_rate)
        norm = self.net.update(self.optimizer, self.options.gradient_clip)
        if norm is None:
            return self.step(batch, learning_rate)
        if not np.isfinite(norm):
            raise BadGroups(np.arange(len(groups)))
        return StepResult(
            loss=sums["loss"] / len(groups),
            accuracy=sums["right"] / len(groups),
            tokens=int(batch.tokens.sum()),
            computed_tokens=int(sums["computed"]),
            gradient_norm=norm,
            seconds=time.monotonic() - started,
            wait_seconds=batch.wait_seconds,
            useful_flops=sums["flops"],
            own_seconds=self.own_time.of_all(sums),
        )

    def _gradients(self, share: Batch) -> tuple[np.ndarray, np.ndarray, dict[str, float]]:
        """This rank's part of the mean gradient; returns losses and accuracies by group, computed tokens and FLOPs."""
        losses, right = np.zeros(len(share.own)), np.zeros(len(share.own))
        counts, total = {"computed": 0.0, "flops": 0.0}, len(share.groups)
        for batch, real in self.net.share(share.micro, FILLER):
            scores = self.net(batch.to(self.dist.device)).view(-1, batch.candidates)
            per_group = group_losses(scores)
            self.own_time.stop()
            self.net.backward(per_group.sum() * (self.dist.world_size / total if real else 0.0))
            if not real:
                continue
            losses[batch.order] = per_group.detach().double().cpu().numpy()
            right[batch.order] = ranked_right(scores.detach()).double().cpu().numpy()
            counts["computed"] += batch.tokens
            counts["flops"] += step_flops(self.model.model.arch, batch.layout.prefix, batch.layout.branch).useful
        return losses, right, counts

    def _agree_on(self, places: np.ndarray, total: int) -> np.ndarray:
        flags = np.zeros(total, dtype=np.int64)
        flags[places] = 1
        return np.flatnonzero(self.dist.max(flags.tolist()))


class BadGroups(FloatingPointError):
    """Some groups of a batch have a loss, or a gradient, that is not finite."""

    def __init__(self, places: np.ndarray) -> None:
        super().__init__(f"{len(places)} groups")
        self.places = places

    def explain(self, step: int, groups: Groups, source: Source, rows_per_response: int) -> str:
        """What happened, for the user, with the rows of the first bad groups."""
        rows = groups.candidates[self.places[:ROWS_SHOWN], 0] // rows_per_response
        shown = ", ".join(source.where(int(row)) for row in rows)
        return (
            f"step {step}: the loss or its gradient is not finite for {len(self.places)} of {len(groups)} groups; "
            f"first rows: {shown}. Lower optimizer.learningRate, or look at these rows"
        )
