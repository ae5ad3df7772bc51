"""Attention over packed groups on a GPU: FlexAttention with a block-sparse mask made from lengths.

Every token's keys are at most two runs of the stream: its group's prefix, and its own segment (prefix or branch) up to
itself. From the runs follows which blocks of keys a block of queries needs, whole or in part; no mask of the stream's
square is ever made, here or in the kernel.

Written against PyTorch's documented interface and compared with the CPU path; not measured on a GPU yet.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention.flex_attention import BlockMask, flex_attention

Index = npt.NDArray[np.int64]
BLOCK = 128


@dataclass(frozen=True, slots=True)
class Runs:
    """The keys of each query: [prefix_start, prefix_end) and [own_start, own_end), all [queries]."""

    prefix_start: Index
    prefix_end: Index
    own_start: Index
    own_end: Index


@dataclass(frozen=True, slots=True)
class FlexMasks:
    """Block masks for all tokens and for the reward tokens alone."""

    tokens: BlockMask
    rewards: BlockMask


def runs_of(prefix: Index, branch: Index) -> tuple[Runs, Index]:
    """The runs of all tokens of a stream of packed groups, and the places of its reward tokens."""
    lengths = np.concatenate([prefix[:, None], branch], axis=1)
    ends = np.cumsum(lengths.ravel())
    starts = ends - lengths.ravel()
    segments = lengths.shape[1]
    group_start = np.repeat(starts[::segments], segments)
    shared = np.repeat(prefix, segments)
    shared[::segments] = 0  # the prefix itself has no prefix before it
    begin, end, own = (np.repeat(column, lengths.ravel()) for column in (group_start, group_start + shared, starts))
    rewards = ends.reshape(-1, segments)[:, 1:].ravel() - 1
    return Runs(begin, end, own, np.arange(1, int(ends[-1]) + 1)), rewards


def masks_of(prefix: Index, branch: Index, device: torch.device) -> FlexMasks:
    """The block masks of packed groups."""
    runs, rewards = runs_of(prefix, branch)
    keys = _whole_blocks(len(runs.own_end))
    final = Runs(*(column[rewards] for column in (runs.prefix_start, runs.prefix_end, runs.own_start, runs.own_end)))
    return FlexMasks(_block_mask(_padded(runs, keys), keys, device), _block_mask(_final(final), keys, device))


def attend_flex(q: Tensor, k: Tensor, v: Tensor, mask: BlockMask) -> Tensor:
    """As `attention.attend`: q [queries, H, E], k and v [N, K, E]."""
    queries, keys = mask.shape[-2:]
    heads = [F.pad(t, (0, 0, 0, 0, 0, count - len(t))).transpose(0, 1)[None] for t, count in
             ((q, queries), (k, keys), (v, keys))]
    out: Any = _kernel(q.device.type)(*heads, block_mask=mask, enable_gqa=q.shape[1] != k.shape[1])
    attended: Tensor = out[0].transpose(0, 1)[: len(q)]
    return attended


@cache
def _kernel(device_type: str) -> Any:
    return flex_attention if device_type == "cpu" else torch.compile(flex_attention, dynamic=True)


def _whole_blocks(length: int) -> int:
    return -(-length // BLOCK) * BLOCK


def _padded(runs: Runs, keys: int) -> Runs:
    """Padding attends to itself: a row without keys would be undefined."""
    extra = np.arange(len(runs.own_end), keys)
    columns = ((runs.prefix_start, extra), (runs.prefix_end, extra), (runs.own_start, extra), (runs.own_end, extra + 1))
    return Runs(*(np.concatenate(column) for column in columns))


def _final(runs: Runs) -> Runs:
    """Reward tokens padded to whole blocks with copies of the last one."""
    extra = _whole_blocks(len(runs.own_end)) - len(runs.own_end)
    columns = (runs.prefix_start, runs.prefix_end, runs.own_start, runs.own_end)
    return Runs(*(np.pad(column, (0, extra), mode="edge") for column in columns))


def _block_mask(runs: Runs, keys: int, device: torch.device) -> BlockMask:
    touched, whole = _blocks(runs, keys)
    partial_count, partial = _listed(touched & ~whole, device)
    whole_count, full = _listed(whole, device)
    columns = (runs.prefix_start, runs.prefix_end, runs.own_start, runs.own_end)
    prefix_start, prefix_end, own_start, own_end = (torch.from_numpy(c.astype(np.int32)).to(device) for c in columns)

    def seen(_batch: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        shared = (key >= prefix_start[query]) & (key < prefix_end[query])
        return shared | ((key >= own_start[query]) & (key < own_end[query]))

    made: BlockMask = BlockMask.from_kv_blocks(
        partial_count, partial, whole_count, full, BLOCK_SIZE=BLOCK, mask_mod=seen,
        seq_lengths=(len(runs.own_end), keys),
    )  # fmt: skip
    return made


def _blocks(runs: Runs, keys: int) -> tuple[Any, Any]:
    """Which blocks of keys each block of queries sees anything of, and which it sees all of [query, key blocks]."""
    queries = len(runs.own_end)
    some, every = (np.zeros((queries // BLOCK, keys // BLOCK + 1), dtype=np.int64) for _ in range(2))
    row = np.arange(queries) // BLOCK
    for start, end in ((runs.prefix_start, runs.prefix_end), (runs.own_start, runs.own_end)):
        here = start < end
        _count(some, row[here], start[here] // BLOCK, -(-end[here] // BLOCK))
        _count(every, row, -(-start // BLOCK), end // BLOCK)
    return (np.cumsum(some, axis=1) > 0)[:, :-1], (np.cumsum(every, axis=1) == BLOCK)[:, :-1]


def _count(changes: Index, row: Index, first: Index, stop: Index) -> None:
    """Note, in a row, that columns first .. stop - 1 count one more; `changes` is to be summed along its rows."""
    here = first < stop
    np.add.at(changes, (row[here], first[here]), 1)
    np.add.at(changes, (row[here], stop[here]), -1)


def _listed(blocks: Any, device: torch.device) -> tuple[Tensor, Tensor]:
    """Counts [1, 1, rows] and, by row, the numbers of the marked blocks first [1, 1, rows, columns]."""
    numbers = np.argsort(~blocks, axis=1, kind="stable")
    counts, order = (torch.from_numpy(t.astype(np.int32)).to(device) for t in (blocks.sum(axis=1), numbers))
    return counts[None, None], order[None, None]
