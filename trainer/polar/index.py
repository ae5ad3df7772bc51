"""The second pass: buckets become one index in the run's own order, and the texts are put in that order.

Rows are sorted by (held-out policy or not, prompt, policy, text), prompts and texts by their hashes. So nothing depends
on the order in the files, rows of one policy on one prompt (a cell) and the cells of one prompt (a block) are runs of
neighbours, and the parts of a split are ranges: held-out prompts are the first ones.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from polar.ingest import FILE, LENGTHS, LINE, POLICY, PROMPT, START, TEXTS, WRAPPER, Records, Scattered
from polar.sampling import Index
from polar.store import Work

ROW_PROMPT, ROW_POLICY, ROW_WRAPPER, ROW_FILE, ROW_LINE, ROW_CELL, ROW_TEXT = range(7)  # columns of rows.i64
CELL_START, CELL_SIZE, CELL_POLICY, BLOCK_START, BLOCK_SIZE, CELL_PLACE = range(6)  # columns of cells.i64
CELL_COLUMNS = 6
COPY_BYTES = 1 << 20
ROWS, CELLS, PROMPTS, TEXT, BY_POLICY = "rows.i64", "cells.i64", "prompts.i64", "text.utf8", "by_policy.i64"


@dataclass(kw_only=True, slots=True)
class Counts:
    """How much has been written. `usable` counts, per policy, the cells on prompts that a second policy answered."""

    usable: Index
    rows: int = 0
    cells: int = 0
    prompts: int = 0
    text: int = 0
    repeated: int = 0
    rows_of_seen: int = 0


class Indexer:
    """Writes the index of one corpus into a folder. `repeats` keeps rows that are there twice."""

    def __init__(self, folder: Path, found: Scattered, held_out: Index, repeats: bool) -> None:
        self._folder, self._found, self._repeats = folder, found, repeats
        names = sorted(found.policies)
        self.policies = names
        self._number = np.zeros(max(1, len(names)), dtype=np.uint64)
        self._number[[found.policies[name] for name in names]] = np.arange(len(names))
        self._held_out = held_out
        self.counts = Counts(usable=np.zeros(len(names), dtype=np.int64))

    def write(self) -> Work[Counts]:
        """Write rows, cells, prompts and texts; then the cells of each policy."""
        with (
            (self._folder / ROWS).open("xb") as rows, (self._folder / CELLS).open("xb") as cells,
            (self._folder / PROMPTS).open("xb") as prompts, (self._folder / TEXT).open("xb") as text,
        ):  # fmt: skip
            files = _Files(rows, cells, prompts, text)
            yield from self._pass(files, unseen=False)
            self.counts.rows_of_seen = self.counts.rows
            if self._held_out.any():
                yield from self._pass(files, unseen=True)
        self._index_by_policy()
        return self.counts

    def _pass(self, files: "_Files", *, unseen: bool) -> Work[None]:
        last, base = unseen or not self._held_out.any(), 0
        for bucket in range(self._found.buckets):
            records, prompt, repeated = self._sorted(bucket)
            texts = self._found.texts(bucket).data
            if not unseen:
                self.counts.repeated += repeated
                self._write_prompts(files, records, prompt, texts)
            chosen = np.flatnonzero(self._held_out[records[:, POLICY].astype(np.int64)] == unseen)
            self._write_rows(files, records[chosen], prompt[chosen] + base, texts)
            base += int(prompt[-1]) + 1 if len(prompt) else 0
            if last:
                self._found.remove(bucket)
            yield f"sorted {bucket + 1} of {self._found.buckets} parts of the rows"

    def _sorted(self, bucket: int) -> tuple[Records, Index, int]:
        """A bucket's records in order, without repeats, the number of each one's prompt, and how many repeats."""
        records = self._found.records(bucket)
        records[:, POLICY] = self._number[records[:, POLICY].astype(np.int64)]
        keys = (LINE, FILE, TEXTS + 1, TEXTS, POLICY, PROMPT + 1, PROMPT)
        records = records[np.lexsort([records[:, key] for key in keys])]
        if not self._repeats:
            kept = records[_changes(records[:, PROMPT : POLICY + 1])]
            return kept, _number(kept), len(records) - len(kept)
        return records, _number(records), 0

    def _write_prompts(self, files: "_Files", records: Records, prompt: Index, texts: memoryview) -> None:
        first = records[np.flatnonzero(np.diff(prompt, prepend=-1))]
        spans = np.stack([first[:, START], first[:, START] + first[:, LENGTHS]], axis=1).astype(np.int64)
        _copy(files.text, texts, spans)
        ends = self.counts.text + np.cumsum(first[:, LENGTHS].astype(np.int64))
        files.prompts.write(np.stack([ends - first[:, LENGTHS].astype(np.int64), ends], axis=1).tobytes())
        self.counts.text = int(ends[-1]) if len(ends) else self.counts.text
        self.counts.prompts += len(first)

    def _write_rows(self, files: "_Files", records: Records, prompt: Index, texts: memoryview) -> None:
        values = records.astype(np.int64)
        lengths = values[:, LENGTHS + 1 :]
        start = values[:, START] + values[:, LENGTHS]
        _copy(files.text, texts, np.stack([start, start + lengths.sum(axis=1)], axis=1))
        ends = self.counts.text + np.cumsum(lengths.ravel()).reshape(lengths.shape)
        policy = values[:, POLICY]
        cell = self._write_cells(files.cells, prompt, policy)
        columns = [prompt, policy, values[:, WRAPPER], values[:, FILE], values[:, LINE], cell]
        table = np.column_stack([*columns, ends[:, 0] - lengths[:, 0], ends])
        files.rows.write(table.astype(np.int64).tobytes())
        self.counts.text = int(ends[-1, -1]) if len(ends) else self.counts.text
        self.counts.rows += len(records)

    def _write_cells(self, file: BinaryIO, prompt: Index, policy: Index) -> Index:
        """Write the cells of some blocks; returns the cell of each row."""
        counts = self.counts
        new_cell = _changes(np.stack([prompt, policy], axis=1))
        start = np.flatnonzero(new_cell)
        size = np.diff(np.append(start, len(prompt)))
        first = np.flatnonzero(_changes(prompt[start][:, None]))
        block_size = np.repeat(np.diff(np.append(first, len(start))), np.diff(np.append(first, len(start))))
        block_start = np.repeat(first, np.diff(np.append(first, len(start))))
        place = _places(policy[start], block_size >= 2, counts.usable)
        columns = [start + counts.rows, size, policy[start], block_start + counts.cells, block_size, place]
        file.write(np.column_stack(columns).astype(np.int64).tobytes())
        own: Index = np.cumsum(new_cell) - 1 + counts.cells
        counts.cells += len(start)
        return own

    def _index_by_policy(self) -> None:
        """Write the usable cells policy by policy, in order; a cell's place among its policy's is in the cell."""
        first = np.append(0, np.cumsum(self.counts.usable))
        with (self._folder / BY_POLICY).open("xb") as out:
            for start, cells in read_chunks(self._folder / CELLS, CELL_COLUMNS):
                usable = np.flatnonzero(cells[:, CELL_PLACE] >= 0)
                for run in _runs(usable, cells[usable, CELL_POLICY]):
                    out.seek(8 * int(first[cells[run[0], CELL_POLICY]] + cells[run[0], CELL_PLACE]))
                    out.write((run + start).astype(np.int64).tobytes())


@dataclass(frozen=True, slots=True)
class _Files:
    rows: BinaryIO
    cells: BinaryIO
    prompts: BinaryIO
    text: BinaryIO


def read_chunks(path: Path, columns: int, count: int = 1 << 16) -> Iterator[tuple[int, Index]]:
    """A file of int64 in pieces of `count` rows, each with the number of its first row."""
    start = 0
    with path.open("rb") as file:
        while data := file.read(8 * columns * count):
            values = np.frombuffer(data, dtype=np.int64).reshape(-1, columns)
            yield start, values
            start += len(values)


def _changes(values: Index | Records) -> np.ndarray:
    """Which rows differ from the one before [rows]; the first does."""
    return np.append(True, (values[1:] != values[:-1]).any(axis=1))[: len(values)]


def _number(records: Records) -> Index:
    number: Index = np.cumsum(_changes(records[:, PROMPT : PROMPT + 2])) - 1
    return number


def _places(policy: Index, usable: np.ndarray, counts: Index) -> Index:
    """Each usable cell's place among its policy's usable cells (-1: not usable); adds them to `counts`."""
    place = np.full(len(policy), -1, dtype=np.int64)
    for run in _runs(np.flatnonzero(usable), policy[usable]):
        own = policy[run[0]]
        place[run] = counts[own] + np.arange(len(run))
        counts[own] += len(run)
    return place


def _runs(items: Index, group: Index) -> list[Index]:
    """The items of each group, in order."""
    if len(items) == 0:
        return []
    order = np.argsort(group, kind="stable")
    return np.split(items[order], np.flatnonzero(np.diff(group[order])) + 1)


def _copy(out: BinaryIO, texts: memoryview, spans: Index) -> None:
    """Append pieces of a mapped file [n, start and stop], a few at a time."""
    waiting = bytearray()
    for start, stop in spans.tolist():
        waiting += texts[start:stop]
        if len(waiting) >= COPY_BYTES:
            out.write(waiting)
            waiting.clear()
    out.write(waiting)
