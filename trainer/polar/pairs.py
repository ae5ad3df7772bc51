"""Splits by prompt and policy, and groups: one reference with its candidates, as training and validation draw them.

Group number g is a pure function of (seed, g), so the data cursor is one integer and any number of ranks can share a
batch.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from polar.data import Preferences, Trajectories
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


@dataclass(frozen=True, slots=True)
class Split:
    """Which prompts and policies are held out."""

    prompt: Index
    policy: Index

    def rows(self, data: Trajectories, *, held_out_prompts: bool, held_out_policies: bool) -> Index:
        """Numbers of the rows of one part, in order."""
        wanted = (self.prompt[data.prompt] == held_out_prompts) & (self.policy[data.policy] == held_out_policies)
        return np.flatnonzero(wanted)


def hold_out(names: list[str], count: int, seed: int) -> Index:
    """1 for the `count` names that a seeded hash puts first, else 0. Independent of the order of the names."""
    order = sorted(range(len(names)), key=lambda i: (stable_fraction(seed, names[i]), names[i]))
    marks = np.zeros(len(names), dtype=np.int64)
    marks[order[:count]] = 1
    return marks


def held_out_prompts(prompt_ids: list[str], percent: int, seed: int) -> Index:
    """1 for held-out prompts: `percent` of them, at least one. DataError when none is left for training."""
    count = max(1, round(len(prompt_ids) * percent / 100))
    if count >= len(prompt_ids):
        raise DataError(f"expected at least 2 prompts to hold out {percent} percent of, got {len(prompt_ids)}")
    return hold_out(prompt_ids, count, seed)


def split_trajectories(data: Trajectories, percent: int, policies: int, seed: int) -> Split:
    """Hold out a share of the prompts and a number of policies. DataError when too few are left."""
    left = len(data.policies) - policies
    if left < 2:
        raise DataError(
            f"expected at least 2 policies for training beside {policies} held out, got {len(data.policies)} in all"
        )
    return Split(held_out_prompts(data.prompt_ids, percent, seed), hold_out(data.policies, policies, seed))


class PreferenceTriplets:
    """Ranked triplets as groups of two candidates: chosen, then rejected (paper Eq. 8)."""

    def __init__(self, data: Preferences, rows: Index, seed: int, part: str) -> None:
        if len(rows) == 0:
            raise DataError(f"{part}: expected at least one triplet, found none")
        self._data, self._rows, self._order = data, rows, EpochOrder(len(rows), seed)

    @property
    def size(self) -> int:
        """Groups per epoch: the number of triplets."""
        return len(self._rows)

    def groups(self, start: int, count: int) -> Groups:
        """Groups number start .. start + count - 1 of the stream."""
        row = self._rows[self._order.at(np.arange(start, start + count, dtype=np.int64))]
        prompt = self._data.prompt[row]
        return Groups(prompt, 3 * row, prompt, np.stack([3 * row + 1, 3 * row + 2], axis=1))
