"""Groups from a policy pool: a reference, a positive by its policy, negatives by other policies (paper section 3.3).

Where enough policies answered a prompt, groups come in squares: G = 1 + negatives policies, one candidate of each on
that prompt and one reference of each, and every reference with the same G candidates. Each candidate is then once the
positive and G - 1 times a negative, so a score of the candidate alone earns nothing; only comparing it with the
reference does. Other groups are plain: a reference of its own with a positive and negatives drawn for it.
"""

from dataclasses import dataclass

import numpy as np

from polar.cells import CELL, OTHER_ROW, OTHERS, REFERENCE_CELL, REFERENCE_ROW, ROW, Pairing
from polar.data import PartName, Rows
from polar.errors import DataError
from polar.pairs import Groups
from polar.sampling import EpochOrder, Index, draw_bits


@dataclass(kw_only=True, frozen=True, slots=True)
class Draw:
    """How groups are made: the negatives of each positive, at least one, and the seed."""

    pairing: Pairing
    negatives: int
    seed: int


class TrajectoryPairs:
    """An endless deterministic stream of groups over one part. DataError when no group can be made of it."""

    def __init__(self, data: Rows, part: PartName, draw: Draw, name: str) -> None:
        self._prompt, self._draw = data.prompt, draw
        self._cells = data.cells.part(data.parts[part])
        self._references = data.references[part]
        if len(self._references) == 0:
            raise DataError(_explain_empty(data, part, draw.pairing, name))
        self._order = EpochOrder(len(self._references), draw.seed)

    @property
    def size(self) -> int:
        """Groups per epoch: the number of rows that can be references."""
        return len(self._references)

    def groups(self, start: int, count: int) -> Groups:
        """Groups number start .. start + count - 1 of the stream."""
        number = np.arange(start, start + count, dtype=np.int64)
        reference = self._references[self._order.at(number)]
        candidates = np.full((count, 1 + self._draw.negatives), -1, dtype=np.int64)
        self._put_squares(number, reference, candidates)
        plain = np.flatnonzero(candidates[:, 0] < 0)
        positive = self._positive(number[plain], reference[plain])
        for place, row in zip(plain.tolist(), positive.tolist(), strict=True):
            candidates[place] = self._with_negatives(int(number[place]), row)
        return Groups(self._prompt[reference], reference, self._prompt[candidates[:, 0]], candidates)

    def _positive(self, counter: Index, reference: Index) -> Index:
        if self._draw.pairing == "samePrompt":
            return self._cells.another_row(self._draw.seed, counter, reference)
        cell = self._cells.of_row[reference]
        return self._cells.row_on_another_prompt(self._draw.seed, counter, cell, (CELL, ROW))

    def _with_negatives(self, number: int, positive: int) -> Index:
        """The positive, then rows of other policies on its prompt: distinct policies while there are enough."""
        cells, count = self._cells, self._draw.negatives
        own = cells.of_row[positive]
        block = cells.block(int(own))
        others = np.resize(self._shuffled(block[block != own], int(number)), count)
        return np.append(positive, cells.any_row(self._draw.seed, number * 257 + np.arange(count), others, OTHER_ROW))

    def _put_squares(self, number: Index, reference: Index, candidates: Index) -> None:
        """Fill in, in place, the groups of every square whose prompt has enough policies."""
        side = self._draw.negatives + 1
        first = np.unique(number // side) * side
        leader = self._references[self._order.at(first)]
        own = self._cells.of_row[self._positive(first, leader)]
        for square in zip(first.tolist(), leader.tolist(), own.tolist(), strict=True):
            made = self._square(*square)
            if made is None:
                continue
            references, square_candidates = made
            for place in range(max(0, square[0] - number[0]), min(len(number), square[0] + side - number[0])):
                row = int(number[place] % side)
                reference[place] = references[row]
                candidates[place] = np.append(square_candidates[row], np.delete(square_candidates, row))

    def _square(self, first: int, leader: int, own: int) -> tuple[Index, Index] | None:
        """References and candidates [side], one of each policy; None when the prompt has too few policies.

        `leader` is the square's first reference, `own` the cell of its positive.
        """
        cells, key, side = self._cells, self._draw.seed, self._draw.negatives + 1
        block = cells.block(own)
        block = block[cells.can_be_reference(block, self._draw.pairing) & (block != own)]
        if len(block) < side - 1:
            return None
        chosen = np.append(own, self._shuffled(block, first)[: side - 1])
        counter = first * 257 + np.arange(side)
        if self._draw.pairing == "samePrompt":
            references = cells.any_row(key, counter, chosen, REFERENCE_ROW)
            references[0] = leader
            return references, cells.another_row(key, counter, references)
        references = cells.row_on_another_prompt(key, counter, chosen, (REFERENCE_CELL, REFERENCE_ROW))
        references[0] = leader
        return references, cells.any_row(key, counter, chosen, OTHER_ROW)

    def _shuffled(self, items: Index, number: int) -> Index:
        bits = draw_bits(self._draw.seed, np.arange(len(items), dtype=np.int64) + number * 65_537, OTHERS)
        return items[np.argsort(bits, kind="stable")]


def _explain_empty(data: Rows, part: PartName, pairing: Pairing, name: str) -> str:
    needs = {
        "samePrompt": "a prompt that one policy answered at least twice and another policy at least once",
        "crossPrompt": "a policy that answered two prompts, each of them answered by another policy too",
    }[pairing]
    rows = data.parts[part]
    prompts, policies = (len(np.unique(column[rows.start : rows.stop])) for column in (data.prompt, data.policy))
    found = f"{len(rows)} trajectories of {policies} policies on {prompts} prompts"
    return f"{name}: no pair can be made. {pairing} pairing needs {needs}; found {found}"
