"""Validation on fixed held-out pairs: Bradley-Terry loss and accuracy with intervals that respect prompts.

Pairs on one prompt are not independent, so the standard error and the 95 % interval come from a bootstrap that draws
whole prompts.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as torch_dist

from polar.batches import Corpus
from polar.distributed import Dist
from polar.loss import margins
from polar.packing import FILLER, micro_batches
from polar.pairs import Groups, GroupSource
from polar.parallel import Net
from polar.report import Score

RESAMPLES, RESAMPLES_AT_ONCE = 1000, 50  # all at once are 2 GB of counts for 100,000 prompts
PAIRS_AT_ONCE = 256  # of a rank, that are encoded before they are scored
MICRO_BATCH_TOKENS = {"cpu": 8_192, "cuda": 131_072}
Floats = npt.NDArray[np.float64]


class Stopped(Exception):
    """A validation was given up: the run is to stop."""


def never() -> bool:
    """For those who are not stopped."""
    return False


class PairSet:
    """Fixed pairs: a reference, its positive and one negative. At most as many as there are held-out references."""

    def __init__(self, corpus: Corpus, source: GroupSource, most_pairs: int) -> None:
        self.corpus = corpus
        self.groups: Groups = source.groups(0, min(most_pairs, source.size))
        _, self._cluster = np.unique(self.groups.candidate_prompt, return_inverse=True)

    def score(self, net: Net, dist: Dist, stopping: Callable[[], bool] = never) -> Score:
        """Loss and accuracy of a model. Collective: the ranks share the pairs; all return the same.

        Stopped as soon as `stopping`, which is asked every few pairs and answers the same on all ranks, says so.
        """
        return self.summarise(pair_margins(net, (self.corpus, self.groups), dist, stopping))

    def summarise(self, margin: Floats) -> Score:
        """Loss and accuracy from score differences (positive minus negative) [pairs]; a tie counts one half."""
        losses = np.logaddexp(0.0, -margin)
        right = (margin > 0) + 0.5 * (margin == 0)
        weights = (np.ones(len(margin)), losses, right)
        drawn = self._resampled(np.stack([np.bincount(self._cluster, weights=one) for one in weights], axis=1))
        loss_draws, accuracy_draws = drawn[:, 1] / drawn[:, 0], drawn[:, 2] / drawn[:, 0]
        lower, upper = np.percentile(accuracy_draws, [2.5, 97.5])
        return Score(
            pairs=len(margin),
            loss=float(losses.mean()),
            loss_standard_error=float(loss_draws.std()),
            accuracy=float(right.mean()),
            accuracy_lower=float(lower),
            accuracy_upper=float(upper),
        )

    def _resampled(self, sums: Floats) -> Floats:
        """Sums over the prompts [prompts, K] of every resample [RESAMPLES, K], the same prompts each time."""
        prompts, rng = len(sums), np.random.default_rng(20_250_705)
        shares = np.full(prompts, 1 / prompts)
        counts = (
            rng.multinomial(prompts, shares, size=RESAMPLES_AT_ONCE) for _ in range(0, RESAMPLES, RESAMPLES_AT_ONCE)
        )
        return np.concatenate([some @ sums for some in counts])


@torch.no_grad()
def pair_margins(
    net: Net, pairs: tuple[Corpus, Groups], dist: Dist, stopping: Callable[[], bool] = never
) -> Floats:
    """Score of the positive minus that of the first negative, per group. Collective; ends in training mode.

    Raises Stopped, see `PairSet.score`.
    """
    corpus, groups = pairs
    out = torch.zeros(len(groups), dtype=torch.float64)
    net.train(False)
    for start in range(0, len(groups), PAIRS_AT_ONCE * dist.world_size):
        stop = min(len(groups), start + PAIRS_AT_ONCE * dist.world_size)
        own = np.arange(start + dist.rank, stop, dist.world_size)
        batches = list(micro_batches(corpus.encode_all(groups.take(own)), MICRO_BATCH_TOKENS[dist.device.type]))
        for batch, real in net.share(batches, FILLER):
            scores = net(batch.to(dist.device)).view(-1, batch.candidates)
            if real:
                out[torch.from_numpy(own[batch.order])] = margins(scores)[:, 0].double().cpu()
        if stop < len(groups) and stopping():
            raise Stopped
    net.train()
    if dist.world_size > 1:
        torch_dist.all_reduce(out)
    result: Floats = out.numpy()
    return result
