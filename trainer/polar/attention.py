"""Exact attention over packed groups (`packing.py`) without a mask of the whole stream.

A prefix attends to itself. A branch attends to its group's prefix and to itself; the two parts are computed apart and
joined by their log-sum-exps, and the backward pass of each part is given the joint output and log-sum-exp, which makes
its gradients those of the joint softmax. On the CPU this runs on PyTorch's flash kernel over blocks of groups of like
size; on a GPU FlexAttention does the same with a block-sparse mask.

Shapes: N tokens of a stream, M rows of a block, H heads, E head size.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

if TYPE_CHECKING:
    from polar.flex import FlexMasks

Index = npt.NDArray[np.int64]
PADDING_SHARE = 0.25  # of a block's attention pairs that may be padding, besides:
PADDING_PAIRS = 8_192  # what a kernel call costs, in attention pairs
forward_kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
backward_kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a stream: neighbours from `start`, or `index` [count] with the padding (any row) at `padding`."""

    start: int
    count: int
    index: Tensor | None = None
    padding: Tensor | None = None
    real: Tensor | None = None

    def take(self, stream: Tensor) -> Tensor:
        """The rows [count, ...]; a view when they are neighbours."""
        if self.index is None:
            return stream[self.start : self.start + self.count]
        return stream.index_select(0, self.index)

    def put(self, stream: Tensor, rows: Tensor) -> None:
        """Write rows to their places; padding is dropped."""
        if self.index is None:
            stream[self.start : self.start + self.count] = rows
        elif self.real is None:
            stream.index_copy_(0, self.index, rows)
        else:
            stream.index_copy_(0, self.index.index_select(0, self.real), rows.index_select(0, self.real))

    def add(self, stream: Tensor, rows: Tensor) -> None:
        """Add rows to their places. Padding has zero rows."""
        if self.index is None:
            stream[self.start : self.start + self.count] += rows
        else:
            stream.index_add_(0, self.index, rows)


@dataclass(frozen=True, slots=True)
class Part:
    """Keys for the rows of a block: both are split into `batch` equal pieces that attend to each other, each query to
    all keys or (causal) to those not after it. mask: [batch, 1, 1, keys], 0 or -inf."""

    keys: Rows
    batch: int
    causal: bool
    mask: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """Query rows and all the keys they attend to."""

    rows: Rows
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """How the tokens of a stream attend: `blocks` for all tokens, `final` for the reward tokens alone (whose query rows
    are numbered by themselves). prefix [G] and branch [G, C] are lengths."""

    prefix: Index
    branch: Index
    blocks: tuple[Block, ...]
    final: tuple[Block, ...]
    flex: "FlexMasks | None" = None

    def to(self, device: torch.device) -> "Layout":
        """The layout for a device."""
        if device.type == "cpu":
            return self
        from polar.flex import masks_of  # noqa: PLC0415  a slow import that the CPU has no use for

        return replace(self, blocks=(), final=(), flex=masks_of(self.prefix, self.branch, device))


def layout_of(prefix: Index, branch: Index) -> Layout:
    """The layout of packed groups: a prefix, then its branches, group after group."""
    blocks: list[Block] = []
    final: list[Block] = []
    starts = np.cumsum(prefix + branch.sum(axis=1)) - prefix - branch.sum(axis=1)
    for chosen in _alike(prefix, branch):
        tile = _Tile(prefix[chosen], branch[chosen], starts[chosen])
        blocks += tile.blocks()
        final.append(tile.final(int(chosen.start) * branch.shape[1]))
    return Layout(prefix, branch, tuple(blocks), tuple(final))


def _pairs(prefix: Index, branch: Index) -> Any:
    """Attention pairs of each group."""
    return prefix * prefix / 2 + (branch * (prefix[:, None] + branch / 2)).sum(axis=1)


def _waste(prefix: Index, branch: Index) -> float:
    """Attention pairs lost when groups are padded to one prefix length and one branch length."""
    widest = np.full((1, branch.shape[1]), branch.max())
    return float(len(prefix) * _pairs(prefix.max(keepdims=True), widest)[0] - _pairs(prefix, branch).sum())


def _alike(prefix: Index, branch: Index) -> list[slice]:
    """Runs of neighbouring groups that waste little when padded to one size."""
    own = _pairs(prefix, branch)
    runs: list[slice] = []
    start = 0
    for end in range(1, len(prefix) + 1):
        if end < len(prefix) and (prefix[start] > 0) == (prefix[end] > 0):
            run = slice(start, end + 1)
            if _waste(prefix[run], branch[run]) <= PADDING_SHARE * own[run].sum() + PADDING_PAIRS * (end - start):
                continue
        runs.append(slice(start, end))
        start = end
    return runs


class _Tile:
    """Neighbouring groups padded to one prefix length and one branch length. G groups, C branches each."""

    def __init__(self, prefix: Index, branch: Index, starts: Index) -> None:
        self.prefix, self.branch = prefix, branch
        self.groups, self.candidates = branch.shape
        self.longest, self.widest = int(prefix.max()), int(branch.max())
        self.prefix_rows = _rows(starts, prefix, self.longest)
        before = np.cumsum(branch, axis=1) - branch
        self.branch_rows_start = int(starts[0] + prefix[0])
        self.branch_rows = _rows((starts[:, None] + prefix[:, None] + before).ravel(), branch.ravel(), self.widest)

    def blocks(self) -> list[Block]:
        """Attention of all tokens."""
        own = Part(self.branch_rows, self.groups * self.candidates, causal=True)
        if self.longest == 0:
            return [Block(self.branch_rows, (own,))]
        to_itself = Block(self.prefix_rows, (Part(self.prefix_rows, self.groups, causal=True),))
        return [to_itself, *self._branches(own)]

    def _branches(self, own: Part) -> list[Block]:
        """All branches as one block, or a block for each where they differ much."""
        if self.groups > 1 or _waste(self.prefix, self.branch) <= PADDING_PAIRS * self.candidates:
            return [Block(self.branch_rows, (self._to_prefix(), own))]
        ends = self.branch_rows_start + np.cumsum(self.branch[0])
        rows = [Rows(int(end - length), int(length)) for end, length in zip(ends, self.branch[0], strict=True)]
        return [Block(one, (self._to_prefix(), Part(one, 1, causal=True))) for one in rows]

    def final(self, first: int) -> Block:
        """Attention of the reward tokens, whose query rows begin at `first`."""
        mask = _mask(self.branch.ravel(), self.widest)
        own = Part(self.branch_rows, self.groups * self.candidates, causal=False, mask=mask)
        queries = Rows(first, self.groups * self.candidates)
        return Block(queries, (own,) if self.longest == 0 else (self._to_prefix(), own))

    def _to_prefix(self) -> Part:
        return Part(self.prefix_rows, self.groups, causal=False, mask=_mask(self.prefix, self.longest))


def _rows(starts: Index, lengths: Index, width: int) -> Rows:
    """Rows of several runs, each padded to `width`."""
    total = len(starts) * width
    full = bool((lengths == width).all())
    if full and bool((np.diff(starts) == width).all()):
        return Rows(int(starts[0]), total)
    column = np.arange(width)
    padded = column >= lengths[:, None]
    index = torch.from_numpy(np.where(padded, starts[:, None], starts[:, None] + column).ravel())
    if full:
        return Rows(0, total, index)
    padding, real = (torch.from_numpy(np.flatnonzero(part.ravel())) for part in (padded, ~padded))
    return Rows(0, total, index, padding, real)


def _mask(lengths: Index, width: int) -> Tensor | None:
    if (lengths == width).all():
        return None
    seen = torch.from_numpy(np.arange(width) < lengths[:, None])
    return torch.zeros(seen.shape).masked_fill(~seen, float("-inf"))[:, None, None]


class _Blocks(torch.autograd.Function):
    """Attention of blocks of query rows, with the flash kernel of the CPU."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, blocks: tuple[Block, ...]) -> Tensor:
        out = torch.empty_like(q)
        lse = q.new_empty(q.shape[:2], dtype=torch.float32)
        for block in blocks:
            joint, joint_lse = _attend(block, q, k, v)
            block.rows.put(out, joint)
            block.rows.put(lse, joint_lse)
        ctx.save_for_backward(q, k, v, out, lse)
        ctx.blocks = blocks
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        q, k, v, out, lse = ctx.saved_tensors
        dq, dk, dv = torch.zeros_like(q), torch.zeros_like(k), torch.zeros_like(v)
        for block in ctx.blocks:
            rows = block.rows
            mine = [rows.take(t) for t in (grad, q, out, lse)]
            if rows.padding is not None:
                mine[0] = mine[0].index_fill(0, rows.padding, 0.0)
                mine[3] = mine[3].index_fill(0, rows.padding, float("inf"))  # a copy's own keys could overflow
            _attend_backward(block, mine, (k, v), (dq, dk, dv))
        return dq, dk, dv, None


def _attend(block: Block, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Output [M, H, E] and log-sum-exp [M, H] of a block's rows over all its parts."""
    mine = block.rows.take(q)
    found = []
    for part in block.parts:
        heads = (_heads(t, part.batch, q.shape[1]) for t in (mine, part.keys.take(k), part.keys.take(v)))
        mask = None if part.mask is None else part.mask.to(q.dtype)
        out, lse = forward_kernel(*heads, 0.0, part.causal, attn_mask=mask)
        found.append((out.transpose(1, 2).reshape(mine.shape), lse.transpose(1, 2).reshape(mine.shape[:2])))
    if len(found) == 1:
        return found[0]
    (out_a, lse_a), (out_b, lse_b) = found
    lse = torch.logaddexp(lse_a, lse_b)
    weights = [(part - lse).exp()[..., None].to(q.dtype) for part in (lse_a, lse_b)]
    return out_a * weights[0] + out_b * weights[1], lse


def _attend_backward(
    block: Block, mine: list[Tensor], kv: tuple[Tensor, Tensor], grads: tuple[Tensor, Tensor, Tensor]
) -> None:
    """Add the gradients of one block. `mine`: its rows of the output's gradient, queries, output, log-sum-exp."""
    grad, q, out, lse = mine
    dq = torch.zeros_like(q)
    for part in block.parts:
        heads = [_heads(t, part.batch, q.shape[1]) for t in (grad, q, *(part.keys.take(t) for t in kv), out)]
        lse_heads = lse.reshape(part.batch, -1, q.shape[1]).transpose(1, 2).contiguous()
        mask = None if part.mask is None else part.mask.to(q.dtype)
        found = backward_kernel(*heads, lse_heads, 0.0, part.causal, attn_mask=mask)
        dq += found[0].transpose(1, 2).reshape(q.shape)
        for whole, one in zip(grads[1:], found[1:], strict=True):
            part.keys.add(whole, _merge(one, whole.shape[1]))
    block.rows.put(grads[0], dq)


def _heads(rows: Tensor, batch: int, heads: int) -> Tensor:
    """[M, K, E] to [batch, heads, M / batch, E], each key/value head repeated for the query heads it serves."""
    split = rows.reshape(batch, -1, *rows.shape[1:]).transpose(1, 2)
    repeats = heads // rows.shape[1]
    return split.repeat_interleave(repeats, dim=1) if repeats > 1 else split


def _merge(grad: Tensor, kv_heads: int) -> Tensor:
    """The inverse of `_heads` for a gradient: sums over the query heads of each key/value head, [M, K, E]."""
    batch, heads, length, size = grad.shape
    summed = grad.reshape(batch, kv_heads, heads // kv_heads, length, size).sum(dim=2) if heads > kv_heads else grad
    return summed.transpose(1, 2).reshape(batch * length, kv_heads, size)


def attend(q: Tensor, k: Tensor, v: Tensor, layout: Layout, *, final: bool) -> Tensor:
    """Attention output for all tokens (q [N, H, E]), or for the reward tokens alone (final: q [R, H, E]).

    k and v are [N, K, E] with K dividing H.
    """
    if layout.flex:
        from polar.flex import attend_flex  # noqa: PLC0415

        return attend_flex(q, k, v, layout.flex.rewards if final else layout.flex.tokens)
    return cast(Tensor, _Blocks.apply(q, k, v, layout.final if final else layout.blocks))
