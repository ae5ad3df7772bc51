"""Groups from a policy pool: a reference, a positive by its policy, negatives by other policies (paper section 3.3).

Where enough policies answered a prompt, groups come in squares: G = 1 + negatives policies, one candidate of each on
that prompt and one reference of each, and every reference with the same G candidates. Each candidate is then once the
positive and G - 1 times a negative, so a score of the candidate alone earns nothing; only comparing it with the
reference does. Other groups are plain: a reference of its own with a positive and negatives drawn for it.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from polar.data import Trajectories
from polar.errors import DataError
from polar.pairs import Groups
from polar.sampling import EpochOrder, Index, draw_below, draw_bits

Marks = npt.NDArray[np.bool_]
Pairing = Literal["samePrompt", "crossPrompt"]
CELL, ROW, REFERENCE_CELL, REFERENCE_ROW, OTHERS, OTHER_ROW = 1, 2, 3, 4, 1000, 2000  # lanes of the draws


@dataclass(kw_only=True, frozen=True, slots=True)
class Draw:
    """How groups are made: the negatives of each positive, at least one, and the seed."""

    pairing: Pairing
    negatives: int
    seed: int


class Cells:
    """Rows by prompt and policy. Rows of one policy on one prompt form a cell, the cells of one prompt a block; rows
    come sorted, so both are runs of neighbours. Rows are numbered within the part given, cells in order."""

    def __init__(self, data: Trajectories, rows: Index) -> None:
        prompt, policy = data.prompt[rows], data.policy[rows]
        new_cell = np.append(True, (prompt[1:] != prompt[:-1]) | (policy[1:] != policy[:-1]))[: len(rows)]
        self.start = np.flatnonzero(new_cell)
        self.size = np.diff(np.append(self.start, len(rows)))
        self.policy, self.of_row = policy[self.start], np.cumsum(new_cell) - 1
        cell_prompt = prompt[self.start]
        first = np.flatnonzero(np.append(True, cell_prompt[1:] != cell_prompt[:-1])[: len(cell_prompt)])
        block_size = np.diff(np.append(first, len(cell_prompt)))
        self.block_start, self.block_size = np.repeat(first, block_size), np.repeat(block_size, block_size)
        self.usable: Marks = self.block_size >= 2
        self._index_by_policy(len(data.policies))

    def _index_by_policy(self, policies: int) -> None:
        """The usable cells of each policy, and each usable cell's place among them (-1: not usable)."""
        cells = np.flatnonzero(self.usable)
        self.by_policy = cells[np.argsort(self.policy[cells], kind="stable")]
        starts = np.searchsorted(self.policy[self.by_policy], np.arange(policies + 1))
        self.policy_start, self.policy_cells = starts[:-1], np.diff(starts)
        self.place = np.full(len(self.size), -1, dtype=np.int64)
        self.place[self.by_policy] = np.arange(len(cells)) - self.policy_start[self.policy[self.by_policy]]

    def can_be_reference(self, pairing: Pairing) -> Marks:
        """Cells whose rows have a positive that another policy can be set against."""
        if pairing == "samePrompt":
            return (self.size >= 2) & self.usable
        elsewhere: Marks = self.policy_cells[self.policy] - self.usable >= 1
        return elsewhere

    def another_row(self, key: int, counter: Index, row: Index) -> Index:
        """Another row of each row's cell."""
        cell = self.of_row[row]
        pick = draw_below(key, counter, ROW, self.size[cell] - 1)
        other: Index = self.start[cell] + pick + (pick >= row - self.start[cell])
        return other

    def row_on_another_prompt(self, key: int, counter: Index, cell: Index, lanes: tuple[int, int]) -> Index:
        """A row of each cell's policy on another prompt that a second policy answered too."""
        policy, place = self.policy[cell], self.place[cell]
        pick = draw_below(key, counter, lanes[0], self.policy_cells[policy] - (place >= 0))
        there = self.by_policy[self.policy_start[policy] + pick + ((place >= 0) & (pick >= place))]
        return self.any_row(key, counter, there, lanes[1])

    def any_row(self, key: int, counter: Index, cell: Index, lane: int) -> Index:
        """A row of each cell."""
        row: Index = self.start[cell] + draw_below(key, counter, lane, self.size[cell])
        return row


class TrajectoryPairs:
    """An endless deterministic stream of groups over some rows. DataError when no group can be made of them."""

    def __init__(self, data: Trajectories, rows: Index, draw: Draw, part: str) -> None:
        self._prompt, self._rows, self._draw = data.prompt, rows, draw
        self._cells = Cells(data, rows)
        self._eligible = self._cells.can_be_reference(draw.pairing)
        self._references = np.flatnonzero(self._eligible[self._cells.of_row])
        if len(self._references) == 0:
            raise DataError(_explain_empty(data, rows, draw.pairing, part))
        self._order = EpochOrder(len(self._references), draw.seed)

    @property
    def size(self) -> int:
        """Groups per epoch: the number of rows that can be references."""
        return len(self._references)

    def groups(self, start: int, count: int) -> Groups:
        """Groups number start .. start + count - 1 of the stream."""
        number = np.arange(start, start + count, dtype=np.int64)
        reference = self._references[self._order.at(number)]
        positive = self._positive(number, reference)
        candidates = np.stack([self._with_negatives(int(n), int(p)) for n, p in zip(number, positive, strict=True)])
        self._put_squares(number, reference, candidates)
        rows, prompt = self._rows, self._prompt
        return Groups(prompt[rows[reference]], rows[reference], prompt[rows[candidates[:, 0]]], rows[candidates])

    def _positive(self, counter: Index, reference: Index) -> Index:
        if self._draw.pairing == "samePrompt":
            return self._cells.another_row(self._draw.seed, counter, reference)
        cell = self._cells.of_row[reference]
        return self._cells.row_on_another_prompt(self._draw.seed, counter, cell, (CELL, ROW))

    def _with_negatives(self, number: int, positive: int) -> Index:
        """The positive, then rows of other policies on its prompt: distinct policies while there are enough."""
        cells, count = self._cells, self._draw.negatives
        own = cells.of_row[positive]
        block = np.arange(cells.block_start[own], cells.block_start[own] + cells.block_size[own])
        others = np.resize(self._shuffled(block[block != own], int(number)), count)
        picks = draw_below(self._draw.seed, number * 257 + np.arange(count), OTHER_ROW, cells.size[others])
        return np.append(positive, cells.start[others] + picks)

    def _put_squares(self, number: Index, reference: Index, candidates: Index) -> None:
        """Replace, in place, the groups of every square whose prompt has enough policies."""
        side = self._draw.negatives + 1
        for square in np.unique(number // side):
            made = self._square(int(square) * side, side)
            if made is None:
                continue
            references, square_candidates = made
            for place in np.flatnonzero(number // side == square):
                row = int(number[place] % side)
                reference[place] = references[row]
                candidates[place] = np.append(square_candidates[row], np.delete(square_candidates, row))

    def _square(self, first: int, side: int) -> tuple[Index, Index] | None:
        """References and candidates [side], one of each policy; None when the prompt has too few policies."""
        cells, key = self._cells, self._draw.seed
        leader = self._references[self._order.at(np.array([first]))]
        own = cells.of_row[self._positive(np.array([first]), leader)][0]
        block = np.arange(cells.block_start[own], cells.block_start[own] + cells.block_size[own])
        block = block[self._eligible[block] & (block != own)]
        if len(block) < side - 1:
            return None
        chosen = np.append(own, self._shuffled(block, first)[: side - 1])
        counter = first * 257 + np.arange(side)
        if self._draw.pairing == "samePrompt":
            references = cells.any_row(key, counter, chosen, REFERENCE_ROW)
            references[0] = leader[0]
            return references, cells.another_row(key, counter, references)
        references = cells.row_on_another_prompt(key, counter, chosen, (REFERENCE_CELL, REFERENCE_ROW))
        references[0] = leader[0]
        return references, cells.any_row(key, counter, chosen, OTHER_ROW)

    def _shuffled(self, items: Index, number: int) -> Index:
        bits = draw_bits(self._draw.seed, np.arange(len(items), dtype=np.int64) + number * 65_537, OTHERS)
        return items[np.argsort(bits, kind="stable")]


def _explain_empty(data: Trajectories, rows: Index, pairing: Pairing, part: str) -> str:
    needs = {
        "samePrompt": "a prompt that one policy answered at least twice and another policy at least once",
        "crossPrompt": "a policy that answered two prompts, each of them answered by another policy too",
    }[pairing]
    prompts, policies = len(np.unique(data.prompt[rows])), len(np.unique(data.policy[rows]))
    found = f"{len(rows)} trajectories of {policies} policies on {prompts} prompts"
    return f"{part}: no pair can be made. {pairing} pairing needs {needs}; found {found}"
