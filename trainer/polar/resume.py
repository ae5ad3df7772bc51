"""Which checkpoint a gang resumes from: the ranks verify it together, each some of its files, and all open that one."""

import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from polar import checkpoint, manifest
from polar.checkpoint import Loaded
from polar.distributed import Dist
from polar.errors import CheckpointError
from polar.manifest import is_of_this_past


def load_agreed(root: Path, dist: Dist, before: int | None = None) -> Loaded | None:
    """The newest checkpoint below `root` that verifies, the same on all ranks, or None when there are none.

    `before`: only those of earlier steps, and those saved since the run first went back to before that one.
    Collective. Raises CheckpointError on every rank when there are checkpoints and none verifies: starting over
    silently would lose the run.
    """
    paths = checkpoint.step_directories(root)
    names = [path.name for path in reversed(paths) if _may_be_loaded(path, before)]
    return newest_of(names, str(root), dist, lambda name: load_together(Path(root) / name, None, dist))


def newest_of(names: list[str], where: str, dist: Dist, load: Callable[[str], Loaded]) -> Loaded | None:
    """The first of rank 0's names that loads; what was wrong with those before it is in its `problems`. Collective."""
    problems: list[str] = []
    for name in dist.broadcast(names):
        try:
            return replace(load(name), problems=tuple(problems))
        except CheckpointError as error:
            problems.append(str(error))
    if problems:
        raise CheckpointError(f"no checkpoint in {where} verifies ({'; '.join(problems)}); remove them to start over")
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
    agree(path, dist, failure, sha256)
    assert loaded is not None
    return loaded


def agree(where: object, dist: Dist, failure: str, manifest_sha256: str) -> None:
    """CheckpointError on every rank when one has a failure to tell, or when they do not see the same manifest."""
    failures = [text for text in dist.texts(failure) if text]
    if failures:
        raise CheckpointError(failures[0])
    if len(set(dist.texts(manifest_sha256))) > 1:
        raise CheckpointError(f"{where}: the ranks see different manifests")


def _may_be_loaded(path: Path, before: int | None) -> bool:
    """A manifest that cannot be read counts when its step does: that it is damaged has to be told."""
    resumed_before = None
    with contextlib.suppress(CheckpointError):
        resumed_before = manifest.read_manifest(path).resumed_before
    return is_of_this_past(checkpoint.step_of(path.name), resumed_before, before)
