"""Which checkpoint a gang resumes from: rank 0 verifies and chooses, every rank loads that one."""

from dataclasses import replace
from pathlib import Path

from polar import checkpoint, errors
from polar.checkpoint import Loaded
from polar.distributed import Dist


def load_agreed(root: Path, dist: Dist) -> Loaded | None:
    """The newest checkpoint below `root` that verifies, the same on all ranks, or None when there are none.

    Collective. Raises CheckpointError on every rank when there are checkpoints and none verifies.
    """
    loaded, failure = None, None
    if dist.is_main:
        try:
            loaded = checkpoint.load_newest(root)
        except errors.CheckpointError as error:
            failure = str(error)
    chosen = [loaded.info.name, loaded.info.manifest_sha256, loaded.problems] if loaded else None
    failure, chosen = dist.broadcast([failure, chosen])
    if failure:
        raise errors.CheckpointError(failure)
    if chosen is None or loaded:
        return loaded
    name, manifest_sha256, problems = chosen
    return replace(checkpoint.load(Path(root) / name, manifest_sha256), problems=tuple(problems))
