"""Which ranks share a folder: all of a gang on a volume, those of one pod when checkpoints go to a bucket."""

from dataclasses import dataclass

from polar.config import RunConfig
from polar.distributed import Dist


@dataclass(frozen=True, kw_only=True)
class Pod:
    """This rank's place among the ranks that share its folder."""

    rank: int = 0
    ranks: int = 1


def pod_of(config: RunConfig, dist: Dist) -> Pod:
    """The ranks that share config.checkpoint.directory with this one."""
    if config.checkpoint.s3 is None:
        return Pod(rank=dist.rank, ranks=dist.world_size)
    return Pod(rank=dist.local_rank, ranks=config.gang.processes_per_worker)
