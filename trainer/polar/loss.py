"""The objective: Bradley-Terry over the candidates of one reference (paper Eq. 7, and Eq. 8 for fine-tuning)."""

from torch import Tensor
from torch.nn import functional as F


def margins(scores_GC: Tensor) -> Tensor:
    """Positive minus each negative [G, C - 1]; column 0 of the scores is the positive (or chosen) candidate."""
    scores = scores_GC.float()
    return scores[:, :1] - scores[:, 1:]


def group_losses(scores_GC: Tensor) -> Tensor:
    """-log sigmoid(positive - negative), the mean over each group's negatives: [G], fp32."""
    return -F.logsigmoid(margins(scores_GC)).mean(dim=1)


def ranked_right(scores_GC: Tensor) -> Tensor:
    """Share of each group's negatives scored below its positive, a tie counting one half: [G]. Not for training."""
    margin = margins(scores_GC)
    return ((margin > 0).float() + 0.5 * (margin == 0).float()).mean(dim=1)
