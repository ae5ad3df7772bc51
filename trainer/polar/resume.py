"""Which checkpoint a gang resumes from: the ranks verify it together, each some of its files, and all open that one."""

from dataclasses import replace
from pathlib import Path

from polar import checkpoint, manifest
from polar.checkpoint import Loaded
from polar.distributed import Dist
from polar.errors import CheckpointError


def load_agreed(root: Path, dist: Dist) -> Loaded | None:
    """The newest checkpoint below `root` that verifies, the same on all ranks, or None when there are none.

    Collective. Raises CheckpointError on every rank when there are checkpoints and none verifies: starting over
    silently would lose the run.
    """
    problems: list[str] = []
    for name in dist.broadcast([path.name for path in reversed(checkpoint.step_directories(root))]):
        try:
            return replace(load_together(Path(root) / name, None, dist), problems=tuple(problems))
        except CheckpointError as error:
            problems.append(str(error))
    if problems:
        raise CheckpointError(f"no checkpoint in {root} verifies ({'; '.join(problems)}); remove them to start over")
    return None


def load_together(path: Path, manifest_sha256: str | None, dist: Dist) -> Loaded:
    """Opens a checkpoint after the ranks have verified all of it, each file by one of them.

    Collective. `manifest_sha256` pins it. Raises CheckpointError on every rank when any of them finds something wrong.
    """
    failure, loaded, sha256 = "", None, ""
    try:
        found = checkpoint.read_pinned(path, manifest_sha256)
        sha256 = found.sha256
        by_size = sorted(found.files, key=lambda name: (-found.files[name]["size"], name))
        manifest.verify_files(path, found, by_size[dist.rank :: dist.world_size])
        loaded = checkpoint.open_verified(path, found)
    except (CheckpointError, OSError, UnicodeDecodeError) as error:  # whatever it is, the others must hear of it
        failure = str(error)
    failures = [text for text in dist.texts(failure) if text]
    if failures:
        raise CheckpointError(failures[0])
    if len(set(dist.texts(sha256))) > 1:
        raise CheckpointError(f"{path}: the ranks see different manifests")
    assert loaded is not None
    return loaded
