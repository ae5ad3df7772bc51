"""Who answered what, how often: rows of one policy on one prompt form a cell, the cells of one prompt a block.

Rows come sorted, so cells and blocks are runs of neighbours. The tables lie in mapped files (`index.py` writes them):
only what a group needs is read, and memory does not grow with the rows.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from polar.index import BLOCK_SIZE, BLOCK_START, CELL_PLACE, CELL_POLICY, CELL_SIZE, CELL_START
from polar.sampling import Index, draw_below

Marks = npt.NDArray[np.bool_]
Pairing = Literal["samePrompt", "crossPrompt"]
CHUNK = 1 << 16
CELL, ROW, REFERENCE_CELL, REFERENCE_ROW, OTHERS, OTHER_ROW = 1, 2, 3, 4, 1000, 2000  # lanes of the draws


@dataclass(frozen=True, slots=True)
class Cells:
    """All cells of a corpus. A cell is usable when a second policy answered its prompt; `by_policy` are the usable
    cells of policy 0, then those of policy 1, and so on, `usable` how many each has."""

    table: Index
    of_row: Index
    by_policy: Index
    usable: Index

    def part(self, rows: range) -> "PartCells":
        """The cells of a run of rows that cuts no block."""
        first = int(self.of_row[rows.start]) if rows.start < len(self.of_row) else len(self.table)
        last = int(self.of_row[rows.stop]) if rows.stop < len(self.of_row) else len(self.table)
        return PartCells(self, range(first, last))


class PartCells:
    """The cells of one part of a split."""

    def __init__(self, cells: Cells, part: range) -> None:
        self._table, self.of_row, self._by_policy, self._part = cells.table, cells.of_row, cells.by_policy, part
        ends = np.cumsum(cells.usable)
        starts = ends - cells.usable
        spans = list(zip(starts.tolist(), ends.tolist(), strict=True))
        self._first = np.array([_first_from(cells.by_policy, part.start, *span) for span in spans], dtype=np.int64)
        last = np.array([_first_from(cells.by_policy, part.stop, *span) for span in spans], dtype=np.int64)
        self._count, self._skipped = last - self._first, self._first - starts

    def policies(self) -> Index:
        """Policies with usable cells in this part."""
        return np.flatnonzero(self._count)

    def can_be_reference(self, cell: Index, pairing: Pairing) -> Marks:
        """Which cells' rows have a positive that another policy can be set against."""
        here = self._table[cell]
        usable: Marks = here[:, CELL_PLACE] >= 0
        if pairing == "samePrompt":
            return (here[:, CELL_SIZE] >= 2) & usable
        elsewhere: Marks = self._count[here[:, CELL_POLICY]] - usable >= 1
        return elsewhere

    def references(self, pairing: Pairing) -> Iterator[Index]:
        """All rows that can be references, in order, in pieces."""
        for start in range(self._part.start, self._part.stop, CHUNK):
            cell = np.arange(start, min(start + CHUNK, self._part.stop))
            here = self._table[cell[self.can_be_reference(cell, pairing)]]
            size = here[:, CELL_SIZE]
            yield np.repeat(here[:, CELL_START] - np.cumsum(size) + size, size) + np.arange(size.sum())

    def block(self, cell: int) -> Index:
        """The cells on one cell's prompt."""
        first = self._table[cell, BLOCK_START]
        return np.arange(first, first + self._table[cell, BLOCK_SIZE])

    def another_row(self, key: int, counter: Index, row: Index) -> Index:
        """Another row of each row's cell."""
        here = self._table[self.of_row[row]]
        pick = draw_below(key, counter, ROW, here[:, CELL_SIZE] - 1)
        other: Index = here[:, CELL_START] + pick + (pick >= row - here[:, CELL_START])
        return other

    def row_on_another_prompt(self, key: int, counter: Index, cell: Index, lanes: tuple[int, int]) -> Index:
        """A row of each cell's policy on another prompt that a second policy answered too."""
        policy = self._table[cell, CELL_POLICY]
        usable = self._table[cell, CELL_PLACE] >= 0
        place = self._table[cell, CELL_PLACE] - self._skipped[policy]
        pick = draw_below(key, counter, lanes[0], self._count[policy] - usable)
        there = self._by_policy[self._first[policy] + pick + (usable & (pick >= place))]
        return self.any_row(key, counter, there, lanes[1])

    def any_row(self, key: int, counter: Index, cell: Index, lane: int) -> Index:
        """A row of each cell."""
        here = self._table[cell]
        row: Index = here[:, CELL_START] + draw_below(key, counter, lane, here[:, CELL_SIZE])
        return row


def _first_from(by_policy: Index, cell: int, start: int, stop: int) -> int:
    """Where the first cell from number `cell` on stands in one policy's stretch of `by_policy`."""
    low, high = start, stop
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if by_policy[middle] < cell else (low, middle)
    return low
