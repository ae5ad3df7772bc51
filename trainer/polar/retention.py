"""Which checkpoints stay: the newest, the best, and never fewer than one that verifies."""

from pathlib import Path

from polar import manifest as manifests
from polar.checkpoint import STEP_NAME, TEMPORARY, CheckpointInfo, list_complete
from polar.durable import fsync_path, remove_tree, storage_errors
from polar.errors import CheckpointError
from polar.manifest import MANIFEST


def best_of(checkpoints: list[CheckpointInfo]) -> CheckpointInfo | None:
    """The one with the lowest validation loss, the newest of equals; None when none has one."""
    scored = [one for one in checkpoints if one.val_loss is not None]
    return min(scored, key=_rank) if scored else None


def verify(info: CheckpointInfo) -> None:
    """Reads and hashes all of a checkpoint; raises CheckpointError when it is not intact."""
    manifests.verify_files(info.path, manifests.read_manifest(info.path))


def clean(root: Path) -> list[str]:
    """Removes what an interrupted save or removal left behind and returns the names. Not while another saves here."""
    removed = []
    for path in sorted(root.iterdir()) if root.is_dir() else []:
        half_removed = STEP_NAME.match(path.name) and path.is_dir() and not (path / MANIFEST).exists()
        if not (path.name.startswith(TEMPORARY) or half_removed):
            continue
        if path.is_dir():
            remove_tree(path)
        else:
            path.unlink(missing_ok=True)
        removed.append(path.name)
    return removed


def collect_garbage(root: Path, keep_last: int, keep_best: int, *, verified_step: int | None = None) -> list[str]:
    """Removes all checkpoints but the newest `keep_last` and the `keep_best` of lowest validation loss.

    Before anything goes, the newest kept one is verified (unless it is `verified_step`, just written); if it is bad,
    nothing is removed. A manifest goes first, so that an interrupted removal leaves no half checkpoint that looks
    whole. Returns the removed names.
    """
    checkpoints = list_complete(root)
    ranked = sorted((one for one in checkpoints if one.val_loss is not None), key=_rank)
    kept = {one.step for one in (*checkpoints[-max(1, keep_last):], *ranked[:keep_best])}
    doomed = [one for one in checkpoints if one.step not in kept]
    if not doomed:
        return []
    if checkpoints[-1].step != verified_step:
        try:
            verify(checkpoints[-1])
        except CheckpointError:
            return []
    with storage_errors(root, f"removing old checkpoints in {root}"):
        for one in doomed:
            (one.path / MANIFEST).unlink(missing_ok=True)
            fsync_path(one.path)
            remove_tree(one.path)
        fsync_path(root)
    return [one.name for one in doomed]


def _rank(one: CheckpointInfo) -> tuple[float, int]:
    return (float("inf") if one.val_loss is None else one.val_loss, -one.step)
