"""How the ranks of a gang train one model together."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch.nn.parallel import DistributedDataParallel

from polar.distributed import Dist


def parallel(model: torch.nn.Module, dist: Dist) -> torch.nn.Module:
    """The model as it is for one rank, wrapped to average gradients for more."""
    if dist.world_size == 1:
        return model
    return DistributedDataParallel(model, device_ids=[dist.device] if dist.device.type == "cuda" else None)


def synchronised(net: torch.nn.Module, last: bool) -> AbstractContextManager[None]:
    """Context of one micro-batch: gradients travel with the last one only."""
    if isinstance(net, DistributedDataParallel) and not last:
        no_sync: AbstractContextManager[None] = net.no_sync()
        return no_sync
    return nullcontext()
