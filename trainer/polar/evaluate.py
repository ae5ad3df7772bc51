"""Validation on fixed held-out pairs: Bradley-Terry loss and accuracy with intervals that respect prompts.

Pairs on one prompt are not independent, so the standard error and the 95 % interval come from a bootstrap that draws
whole prompts.
"""

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

RESAMPLES = 1000
MICRO_BATCH_TOKENS = {"cpu": 8_192, "cuda": 131_072}
Floats = npt.NDArray[np.float64]


class PairSet:
    """Fixed pairs: a reference, its positive and one negative. At most as many as there are held-out references."""

    def __init__(self, corpus: Corpus, source: GroupSource, most_pairs: int) -> None:
        self.corpus = corpus
        self.groups: Groups = source.groups(0, min(most_pairs, source.size))
        _, self._cluster = np.unique(self.groups.candidate_prompt, return_inverse=True)
        prompts = int(self._cluster.max()) + 1
        rng = np.random.default_rng(20_250_705)
        self._draws = rng.multinomial(prompts, np.full(prompts, 1 / prompts), size=RESAMPLES).astype(np.float64)

    def score(self, net: Net, dist: Dist) -> Score:
        """Loss and accuracy of a model. Collective: the ranks share the pairs; all return the same."""
        return self.summarise(pair_margins(net, self.corpus, self.groups, dist))

    def summarise(self, margin: Floats) -> Score:
        """Loss and accuracy from score differences (positive minus negative) [pairs]; a tie counts one half."""
        losses = np.logaddexp(0.0, -margin)
        right = (margin > 0) + 0.5 * (margin == 0)
        sizes = np.bincount(self._cluster).astype(np.float64)
        drawn = self._draws @ sizes
        loss_draws = self._draws @ np.bincount(self._cluster, weights=losses) / drawn
        accuracy_draws = self._draws @ np.bincount(self._cluster, weights=right) / drawn
        lower, upper = np.percentile(accuracy_draws, [2.5, 97.5])
        return Score(
            pairs=len(margin),
            loss=float(losses.mean()),
            loss_standard_error=float(loss_draws.std()),
            accuracy=float(right.mean()),
            accuracy_lower=float(lower),
            accuracy_upper=float(upper),
        )


@torch.no_grad()
def pair_margins(net: Net, corpus: Corpus, groups: Groups, dist: Dist) -> Floats:
    """Score of the positive minus that of the first negative, per group. Collective; ends in training mode."""
    out = torch.zeros(len(groups), dtype=torch.float64)
    own = np.arange(dist.rank, len(groups), dist.world_size)
    net.train(False)
    batches = list(micro_batches(corpus.encode_all(groups.take(own)), MICRO_BATCH_TOKENS[dist.device.type]))
    for batch, real in net.share(batches, FILLER):
        scores = net(batch.to(dist.device)).view(-1, batch.candidates)
        if not real:
            continue
        out[torch.from_numpy(own[batch.order])] = margins(scores)[:, 0].double().cpu()
    net.train()
    if dist.world_size > 1:
        torch_dist.all_reduce(out)
    result: Floats = out.numpy()
    return result
