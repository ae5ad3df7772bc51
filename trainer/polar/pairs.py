"""Splits by prompt and policy, and the groups that training and validation draw: one reference with its candidates.

Group number g is a pure function of (seed, g), so the data cursor is one integer and any number of ranks can share a
batch. An epoch takes every eligible reference once; positive and negatives are drawn for it (paper section 3.3).
"""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from polar.data import Preferences, Trajectories
from polar.errors import DataError
from polar.sampling import EpochOrder, Index, draw_below, draw_bits, stable_fraction

Marks = npt.NDArray[np.bool_]
Pairing = Literal["samePrompt", "crossPrompt"]
POSITIVE_CELL, POSITIVE_ROW, NEGATIVE_CELLS, NEGATIVE_ROW = 1, 2, 1000, 2000  # lanes of the draws


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


class TrajectoryPairs:
    """Groups of one reference, one positive by its policy and negatives by other policies on the positive's prompt.

    Rows of one policy on one prompt form a cell; rows come sorted, so cells and prompts are runs of neighbours.
    """

    def __init__(self, data: Trajectories, rows: Index, pairing: Pairing, negatives: int, seed: int, part: str) -> None:
        self._data, self._rows, self._negatives, self._key = data, rows, negatives, seed
        prompt, policy = data.prompt[rows], data.policy[rows]
        new_cell = np.ones(len(rows), dtype=bool)
        new_cell[1:] = (prompt[1:] != prompt[:-1]) | (policy[1:] != policy[:-1])
        self._cell_start = np.flatnonzero(new_cell)
        self._cell_size = np.diff(np.append(self._cell_start, len(rows)))
        self._cell_policy, cell_prompt = policy[self._cell_start], prompt[self._cell_start]
        self._cell_of_row = np.cumsum(new_cell) - 1
        first, block_size = _runs(cell_prompt)
        self._block_start, self._block_size = np.repeat(first, block_size), np.repeat(block_size, block_size)
        self._cross = pairing == "crossPrompt"
        eligible = self._index_other_prompts() if self._cross else (self._cell_size >= 2) & (self._block_size >= 2)
        references = np.flatnonzero(eligible[self._cell_of_row]) if len(rows) else np.zeros(0, dtype=np.int64)
        if len(references) == 0:
            raise DataError(_explain_empty(self._counts(), pairing, part))
        self._references, self._order = references, EpochOrder(len(references), seed)

    @property
    def size(self) -> int:
        """Groups per epoch: the number of eligible references."""
        return len(self._references)

    def groups(self, start: int, count: int) -> Groups:
        """Groups number start .. start + count - 1 of the stream."""
        number = np.arange(start, start + count, dtype=np.int64)
        reference = self._references[self._order.at(number)]
        positive = (
            self._positive_elsewhere(number, reference) if self._cross else self._positive_beside(number, reference)
        )
        candidates = np.column_stack([positive, self._negatives_of(number, self._cell_of_row[positive])])
        rows = self._rows
        prompt = self._data.prompt
        return Groups(prompt[rows[reference]], rows[reference], prompt[rows[positive]], rows[candidates])

    def _index_other_prompts(self) -> Marks:
        """Per policy, the cells where another policy answered too; returns which cells can serve as references."""
        usable = self._block_size >= 2
        cells = np.flatnonzero(usable)
        self._by_policy = cells[np.argsort(self._cell_policy[cells], kind="stable")]
        bounds = np.arange(len(self._data.policies) + 1)
        starts = np.searchsorted(self._cell_policy[self._by_policy], bounds)
        self._policy_start, self._policy_cells = starts[:-1], np.diff(starts)
        self._place = np.full(len(self._cell_size), -1, dtype=np.int64)
        self._place[self._by_policy] = np.arange(len(cells)) - self._policy_start[self._cell_policy[self._by_policy]]
        others: Index = self._policy_cells[self._cell_policy] - usable
        return others >= 1

    def _positive_beside(self, number: Index, reference: Index) -> Index:
        cell = self._cell_of_row[reference]
        own = reference - self._cell_start[cell]
        pick = draw_below(self._key, number, POSITIVE_ROW, self._cell_size[cell] - 1)
        beside: Index = self._cell_start[cell] + pick + (pick >= own)
        return beside

    def _positive_elsewhere(self, number: Index, reference: Index) -> Index:
        own_cell = self._cell_of_row[reference]
        policy, place = self._cell_policy[own_cell], self._place[own_cell]
        pick = draw_below(self._key, number, POSITIVE_CELL, self._policy_cells[policy] - (place >= 0))
        pick = pick + ((place >= 0) & (pick >= place))
        cell = self._by_policy[self._policy_start[policy] + pick]
        row: Index = self._cell_start[cell] + draw_below(self._key, number, POSITIVE_ROW, self._cell_size[cell])
        return row

    def _negatives_of(self, number: Index, cell: Index) -> Index:
        """Rows [G, negatives] of other policies on the positive's prompt: distinct policies while there are enough."""
        chosen = np.stack([self._other_cells(int(n), int(c)) for n, c in zip(number, cell, strict=True)])
        sizes = self._cell_size[chosen]
        picks = [draw_below(self._key, number, NEGATIVE_ROW + j, sizes[:, j]) for j in range(self._negatives)]
        rows: Index = self._cell_start[chosen] + np.stack(picks, axis=1)
        return rows

    def _other_cells(self, number: int, cell: int) -> Index:
        start, count = self._block_start[cell], self._block_size[cell] - 1
        bits = draw_bits(self._key, np.arange(count, dtype=np.int64) + number * 65_537, NEGATIVE_CELLS)
        order = np.argsort(bits, kind="stable")
        cells: Index = start + np.resize(order, self._negatives)
        return cells + (cells >= cell)

    def _counts(self) -> str:
        data, rows = self._data, self._rows
        prompts, policies = len(np.unique(data.prompt[rows])), len(np.unique(data.policy[rows]))
        return f"{len(rows)} trajectories of {policies} policies on {prompts} prompts"


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


def _runs(values: Index) -> tuple[Index, Index]:
    """Start and length of each run of equal neighbours."""
    starts = np.flatnonzero(np.append(True, values[1:] != values[:-1])) if len(values) else np.zeros(0, dtype=np.int64)
    return starts, np.diff(np.append(starts, len(values)))


def _explain_empty(counts: str, pairing: Pairing, part: str) -> str:
    needs = {
        "samePrompt": "a prompt that one policy answered at least twice and another policy at least once",
        "crossPrompt": "a policy that answered two prompts, one of them answered by another policy too",
    }[pairing]
    return f"{part}: no pair can be made. {pairing} pairing needs {needs}; found {counts}"
