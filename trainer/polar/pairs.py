"""Groups: one reference with its candidates, as training and validation draw them.

Group number g is a pure function of (seed, g), so the data cursor is one integer and any number of ranks can share a
batch.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from polar.errors import DataError
from polar.sampling import EpochOrder, Index, stable_fraction


@dataclass(frozen=True, slots=True)
class Groups:
    """A batch of G groups with C candidates each, the positive in column 0. Numbers of prompts and responses."""

    reference_prompt: Index
    reference: Index
    candidate_prompt: Index
    candidates: Index

    def __len__(self) -> int:
        return len(self.reference)

    def take(self, which: Index | slice) -> "Groups":
        """Some of the groups."""
        return Groups(
            self.reference_prompt[which], self.reference[which], self.candidate_prompt[which], self.candidates[which]
        )


class GroupSource(Protocol):
    """An endless deterministic stream of groups."""

    @property
    def size(self) -> int:
        """Groups per epoch."""
        ...

    def groups(self, start: int, count: int) -> Groups:
        """Groups number start .. start + count - 1."""
        ...


def hold_out(names: list[str], count: int, seed: int) -> Index:
    """1 for the `count` names that a seeded hash puts first, else 0. Independent of the order of the names."""
    order = sorted(range(len(names)), key=lambda i: (stable_fraction(seed, names[i]), names[i]))
    marks = np.zeros(len(names), dtype=np.int64)
    marks[order[:count]] = 1
    return marks


class PreferenceTriplets:
    """Ranked triplets as groups of two candidates: chosen, then rejected (paper Eq. 8). DataError when there are none.

    `prompt` is that of each row, `rows` the part to draw from.
    """

    def __init__(self, prompt: Index, rows: range, seed: int, part: str) -> None:
        if len(rows) == 0:
            raise DataError(f"{part}: expected at least one triplet, found none")
        self._prompt, self._rows, self._order = prompt, rows, EpochOrder(len(rows), seed)

    @property
    def size(self) -> int:
        """Groups per epoch: the number of triplets."""
        return len(self._rows)

    def groups(self, start: int, count: int) -> Groups:
        """Groups number start .. start + count - 1 of the stream."""
        row = self._rows.start + self._order.at(np.arange(start, start + count, dtype=np.int64))
        prompt = self._prompt[row]
        return Groups(prompt, 3 * row, prompt, np.stack([3 * row + 1, 3 * row + 2], axis=1))
