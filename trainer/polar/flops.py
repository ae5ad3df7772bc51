"""Floating-point operations of training, counted from dimensions and lengths alone: a multiply-add is two.

Counted are matrix products and causal attention; norms, rotary embedding and the optimizer are left out, as is usual.
The backward pass costs twice the forward pass. Recomputed activations are not counted. No language-model head exists.

Lengths: G groups of C candidates; prefix [G] are the tokens a group's sequences begin with alike, branch [G, C] those
each sequence has of its own. `packing.Packed.layout` has both.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from polar.config import Architecture

Lengths = npt.NDArray[np.int64]
TRAINING = 3.0  # a forward pass and a backward pass of twice its cost, in forward passes


@dataclass(frozen=True, slots=True)
class Flops:
    """Forward and backward pass of one batch.

    useful: every token once, and in the last layer only the reward tokens' queries and feed-forward; what MFU counts.
    unshared: the same with each sequence computed whole. naive: each sequence whole, all tokens in all layers.
    """

    useful: float
    unshared: float
    naive: float

    @property
    def shared_limit(self) -> float:
        """Largest speed-up of sharing prefixes."""
        return self.unshared / self.useful

    @property
    def naive_limit(self) -> float:
        """Largest speed-up over a trainer without padding that shares nothing and computes all of the last layer."""
        return self.naive / self.useful


def step_flops(arch: Architecture, prefix: Lengths | Sequence[int], branch: Lengths | Sequence[Sequence[int]]) -> Flops:
    """FLOPs of training on a batch of groups, from their lengths [G] and [G, C] in tokens."""
    shared, own = np.asarray(prefix, dtype=np.float64), np.asarray(branch, dtype=np.float64)
    whole = shared[:, None] + own
    useful = _reward_only(arch, tokens=float(shared.sum() + own.sum()), pairs=_pairs(shared, own), ends=whole)
    unshared = _reward_only(arch, tokens=float(whole.sum()), pairs=_causal(whole), ends=whole)
    return Flops(useful=useful, unshared=unshared, naive=sequence_flops(arch, whole.ravel()))


def sequence_flops(arch: Architecture, lengths: npt.NDArray[np.float64] | Lengths | Sequence[int]) -> float:
    """FLOPs of training on whole sequences, all tokens in all layers. Give padded lengths to count padding."""
    sizes = np.asarray(lengths, dtype=np.float64)
    linear = float(sizes.sum()) * (_key_value(arch) + _rest(arch))
    return TRAINING * arch.num_layers * (linear + _attention(arch) * _causal(sizes))


def _reward_only(arch: Architecture, *, tokens: float, pairs: float, ends: npt.NDArray[np.float64]) -> float:
    """All layers but the last for all tokens; of the last, keys and values for all and the rest for reward tokens."""
    full = tokens * (_key_value(arch) + _rest(arch)) + _attention(arch) * pairs
    last = tokens * _key_value(arch) + ends.size * _rest(arch) + _attention(arch) * float(ends.sum())
    head = 2.0 * arch.hidden_size * ends.size
    return TRAINING * ((arch.num_layers - 1) * full + last + head)


def _key_value(arch: Architecture) -> float:
    """Key and value projections of one token."""
    return 2.0 * 2 * arch.hidden_size * arch.num_key_value_heads * arch.head_size()


def _rest(arch: Architecture) -> float:
    """Query and output projections and feed-forward of one token."""
    return 2.0 * (2 * arch.hidden_size**2 + 3 * arch.hidden_size * arch.intermediate_size)


def _attention(arch: Architecture) -> float:
    """Scores and weighted values of one pair of a query and a key, all heads."""
    return 4.0 * arch.hidden_size


def _causal(lengths: npt.NDArray[np.float64]) -> float:
    """Pairs of a query and a key not after it."""
    return float((lengths * (lengths + 1) / 2).sum())


def _pairs(prefix: npt.NDArray[np.float64], branch: npt.NDArray[np.float64]) -> float:
    return _causal(prefix) + float((prefix[:, None] * branch).sum()) + _causal(branch)
