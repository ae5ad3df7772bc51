"""How much faster arithmetic alone lets one contender be than another: ratios of counted FLOPs."""

from collections.abc import Iterable, Sequence

import numpy as np
from polar.encode import Ids
from polar.flops import Flops, sequence_flops, step_flops
from polar.packing import shared_length

from backbone import architecture
from sizes import Size


def group_flops(size: Size, groups: Sequence[Sequence[Ids]]) -> Flops:
    """Training FLOPs of all groups once, shared and unshared."""
    prefix = np.array([shared_length(group) for group in groups], dtype=np.int64)
    branch = np.array([[len(s) for s in group] for group in groups], dtype=np.int64) - prefix[:, None]
    return step_flops(architecture(size), prefix, branch)


def padded_flops(size: Size, shapes: Iterable[Sequence[int]]) -> float:
    """Training FLOPs of padded micro-batches (rows, width): every row in full, in all layers."""
    return sequence_flops(architecture(size), np.array([width for rows, width in shapes for _ in range(rows)]))
