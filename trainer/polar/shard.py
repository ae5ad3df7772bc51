"""Tensors that may be split by rows over the ranks (FSDP2's DTensor): the rows of this rank, and how to fill them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Part:
    """This rank's rows `start ...` of a tensor of the given whole shape. A tensor that is not split has all rows."""

    tensor: Tensor
    start: int
    shape: tuple[int, ...]

    @property
    def whole(self) -> bool:
        """Whether all of the tensor is here."""
        return tuple(self.tensor.shape) == self.shape


def is_sharded(tensor: Tensor) -> bool:
    """Whether the ranks hold parts of the tensor."""
    return hasattr(tensor, "to_local")  # without an import of DTensor, which takes seconds


def part_of(tensor: Tensor) -> Part:
    """This rank's part. Rows are split like torch.chunk does, so the last ranks may have fewer or none."""
    if not is_sharded(tensor):
        return Part(tensor.detach(), 0, tuple(tensor.shape))
    split: Any = tensor
    assert [placement.is_shard(0) for placement in split.placements] == [True], split.placements
    local, rows = split.to_local().detach(), tensor.shape[0]
    chunk = -(-rows // split.device_mesh.size())
    start = min(rows, split.device_mesh.get_local_rank() * chunk)
    assert local.shape[0] == min(chunk, rows - start), (tensor.shape, local.shape)
    return Part(local, start, tuple(tensor.shape))


@torch.no_grad()
def fill(tensor: Tensor, rows: Callable[[int, int], Tensor]) -> None:
    """Set this rank's part from `rows(start, stop)`, which is called for the rows needed only; a scalar has one row."""
    part = part_of(tensor)
    count = part.tensor.shape[0] if part.tensor.ndim else 1
    if count:
        part.tensor.copy_(rows(part.start, part.start + count).reshape(part.tensor.shape))
