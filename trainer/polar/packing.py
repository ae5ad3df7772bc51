"""Groups as one stream of tokens without padding, each group's common prefix stored once.

    stream   prefix of group 0 | its branch 0 | its branch 1 | prefix of group 1 | ...
    position 0 .. S-1          | S ..         | S ..         | 0 .. S-1          | ...

The candidates of a group share prompt and reference, so their sequences begin alike: with S shared and c own tokens
a group of C candidates costs S + C c tokens instead of C (S + c). A branch attends to its group's prefix and to itself;
so a candidate's score is the one it would get alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from polar.attention import Layout, layout_of
from polar.encode import Ids

Index = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Packed:
    """Some groups, all with the same number of candidates.

    ids, position: [N]. rewards: places of the reward tokens in the stream [groups * candidates], group after group.
    order: the groups' places in the batch they come from. naive_tokens: what the sequences hold without sharing.
    """

    ids: Tensor
    position: Tensor
    rewards: Tensor
    layout: Layout
    order: Index
    candidates: int
    naive_tokens: int

    @property
    def tokens(self) -> int:
        """Tokens computed."""
        return len(self.ids)

    def to(self, device: torch.device) -> "Packed":
        """A copy on the device."""
        if self.ids.device == device:
            return self
        moved = (t.to(device, non_blocking=True) for t in (self.ids, self.position, self.rewards))
        ids, position, rewards = moved
        return replace(self, ids=ids, position=position, rewards=rewards, layout=self.layout.to(device))


def pack(groups: Sequence[Sequence[Ids]], order: Index, *, share: bool = True) -> Packed:
    """Pack groups of token sequences, one sequence per candidate; the last token of each is its reward token.

    `share=False` stores every sequence whole, for comparison.
    """
    candidates = len(groups[0])
    prefix = np.array([shared_length(group) if share else 0 for group in groups], dtype=np.int64)
    branch = np.array([[len(s) for s in group] for group in groups], dtype=np.int64) - prefix[:, None]
    parts: list[Ids] = []
    for group, shared in zip(groups, prefix, strict=True):
        parts += [group[0][:shared], *(s[shared:] for s in group)]
    lengths = np.concatenate([prefix[:, None], branch], axis=1).ravel()
    ends = np.cumsum(lengths)
    first = np.where(np.arange(len(lengths)) % (candidates + 1) == 0, 0, np.repeat(prefix, candidates + 1))
    position = np.arange(ends[-1]) - np.repeat(ends - lengths - first, lengths)
    rewards = ends.reshape(len(groups), -1)[:, 1:].ravel() - 1
    return Packed(
        ids=torch.from_numpy(np.concatenate(parts).astype(np.int64)),
        position=torch.from_numpy(position),
        rewards=torch.from_numpy(rewards),
        layout=layout_of(prefix, branch),
        order=order,
        candidates=candidates,
        naive_tokens=int(branch.sum() + candidates * prefix.sum()),
    )


def shared_length(sequences: Sequence[Ids]) -> int:
    """Length of the longest common prefix that leaves every sequence its last token; 0 for a single sequence."""
    if len(sequences) == 1:
        return 0
    first = sequences[0]
    shared = min(len(s) for s in sequences) - 1
    for other in sequences[1:]:
        differing = np.flatnonzero(first[:shared] != other[:shared])
        shared = int(differing[0]) if len(differing) else shared
    return shared


def micro_batches(encoded: Sequence[Sequence[Ids]], most_tokens: int, *, share: bool = True) -> Iterator[Packed]:
    """Split groups, the longest first, into packed batches of at most `most_tokens` tokens (or one group each)."""
    sizes = np.array([packed_length(group, share) for group in encoded], dtype=np.int64)
    batch: list[int] = []
    tokens = 0
    for row in np.argsort(-sizes, kind="stable"):
        if batch and tokens + sizes[row] > most_tokens:
            yield pack([encoded[i] for i in batch], np.array(batch), share=share)
            batch, tokens = [], 0
        batch.append(int(row))
        tokens += int(sizes[row])
    if batch:
        yield pack([encoded[i] for i in batch], np.array(batch), share=share)


def packed_length(group: Sequence[Ids], share: bool = True) -> int:
    """Tokens a group takes in the stream."""
    shared = shared_length(group) if share else 0
    return sum(len(s) for s in group) - (len(group) - 1) * shared


FILLER = pack([[np.array([0, 1]), np.array([0, 2])]], np.zeros(1, dtype=np.int64))  # for a rank that has nothing to do
