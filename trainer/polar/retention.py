"""Which checkpoints stay: the newest, the best, those that others use, and never fewer than one that verifies."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from polar import manifest as manifests
from polar.checkpoint import STEP_NAME, TEMPORARY, CheckpointInfo, list_complete
from polar.durable import fsync_path, remove_tree, storage_errors
from polar.errors import CheckpointError
from polar.manifest import MANIFEST, is_of_this_past

ASIDE = "aside-"


@dataclass(frozen=True, kw_only=True)
class Keep:
    """How many of the newest and of the best stay; `steps`, asked each time, and `tokens` say which others do: of those
    that reach a number of `tokens` the first.
    """

    last: int
    best: int
    steps: Callable[[], Iterable[int]] = tuple
    tokens: tuple[int, ...] = ()

    def doomed(self, checkpoints: list[CheckpointInfo]) -> list[CheckpointInfo]:
        """Those, of checkpoints in order, that do not stay."""
        ranked = sorted((one for one in checkpoints if one.val_loss is not None), key=_rank)
        kept = {one.step for one in (*checkpoints[-max(1, self.last):], *ranked[:self.best])} | self.listed(checkpoints)
        return [one for one in checkpoints if one.step not in kept]

    def listed(self, checkpoints: list[CheckpointInfo]) -> set[int]:
        """Steps that stay whatever comes later, and whether or not they are among checkpoints in order."""
        reached = ([one.step for one in checkpoints if one.tokens >= tokens] for tokens in self.tokens)
        return {*self.steps(), *(steps[0] for steps in reached if steps)}


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


def collect_garbage(root: Path, keep: Keep, *, verified_step: int | None = None) -> list[str]:
    """Removes all checkpoints but those that stay.

    Before anything goes, the newest kept one is verified (unless it is `verified_step`, just written); if it is bad,
    nothing is removed. Returns the removed names.
    """
    checkpoints = list_complete(root)
    doomed = keep.doomed(checkpoints)
    if not doomed:
        return []
    if checkpoints[-1].step != verified_step:
        try:
            verify(checkpoints[-1])
        except CheckpointError:
            return []
    remove(root, [one.name for one in doomed])
    return [one.name for one in doomed]


def remove(root: Path, names: Iterable[str]) -> None:
    """Removes checkpoints. A manifest goes first, so that an interrupted removal leaves none that looks whole."""
    with storage_errors(root, f"removing old checkpoints in {root}"):
        for name in names:
            (root / name / MANIFEST).unlink(missing_ok=True)
            fsync_path(root / name)
            remove_tree(root / name)
        fsync_path(root)


def set_aside(root: Path, before: int | None) -> list[str]:
    """Renames the checkpoints that a run left when it went back to before a step, so that none is taken for its own.

    They stay as `aside-step-...`. Returns their former names.
    """
    left = [one for one in list_complete(root) if not is_of_this_past(one.step, one.resumed_before, before)]
    with storage_errors(root, f"setting checkpoints aside in {root}"):
        for one in left:
            one.path.rename(root / f"{ASIDE}{one.name}-{one.manifest_sha256[:8]}")
        if left:
            fsync_path(root)
    return [one.name for one in left]


def _rank(one: CheckpointInfo) -> tuple[float, int]:
    return (float("inf") if one.val_loss is None else one.val_loss, -one.step)
