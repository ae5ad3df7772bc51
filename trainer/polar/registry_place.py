"""A run's checkpoints on a volume or in a bucket, for the registry: listed, verified, removed, by one process."""

import contextlib
import stat
from functools import partial
from pathlib import Path
from typing import Protocol

from polar import checkpoint, manifest, retention
from polar.checkpoint import CheckpointInfo
from polar.config import RunConfig
from polar.durable import fsync_path, remove_tree, storage_errors
from polar.errors import CheckpointError, ConfigError
from polar.manifest import MANIFEST
from polar.metrics_log import NAME as METRICS
from polar.metrics_log import PointFields, read_points
from polar.patience import patiently
from polar.remote import Remote, is_manifest, remote_of
from polar.s3_errors import NoSuchObjectError


class Place(Protocol):
    """Where a run's checkpoints are."""

    where: str

    def names(self) -> list[str]:
        """Checkpoints that have a manifest, oldest first."""

    def look(self, name: str, *, deep: bool) -> CheckpointInfo:
        """A checkpoint whose files are all there, and have their hashes when `deep`. CheckpointError says what not."""

    def remove(self, names: list[str]) -> None:
        """Removes checkpoints, manifests first."""

    def clean(self) -> list[str]:
        """Removes what interrupted saves and removals left; says what that was."""

    def delete_all(self) -> int:
        """Removes everything, manifests first; how many checkpoints that were."""

    def points(self) -> list[PointFields]:
        """The curve of the run."""


def place_of(config: RunConfig) -> Place:
    """Where the run's checkpoints are."""
    remote = remote_of(config.checkpoint)
    return InBucket(config, remote) if remote else OnVolume(config)


class OnVolume:
    """In a folder that is mounted here."""

    def __init__(self, config: RunConfig) -> None:
        self._config, self._root = config, Path(config.checkpoint.directory)
        self.where = config.checkpoint.directory

    def names(self) -> list[str]:
        return [path.name for path in checkpoint.step_directories(self._root)]

    def look(self, name: str, *, deep: bool) -> CheckpointInfo:
        path = self._root / name
        found = manifest.read_manifest(path)
        if deep:
            manifest.verify_files(path, found)
        else:
            manifest.verify_sizes(path, found)
        return checkpoint.describe(path, found)

    def remove(self, names: list[str]) -> None:
        retention.remove(self._root, names)

    def clean(self) -> list[str]:
        return retention.clean(self._root)

    def delete_all(self) -> int:
        check_own(self._config, self.where)
        refuse_links(self._root)
        if not self._root.exists():
            return 0
        found = checkpoint.step_directories(self._root)
        with storage_errors(self._root, f"deleting {self._root}"):
            for path in found:
                (path / MANIFEST).unlink(missing_ok=True)
                fsync_path(path)
            remove_tree(self._root)
            fsync_path(self._root.parent)
        return len(found)

    def points(self) -> list[PointFields]:
        return read_points(self._root / METRICS)


class InBucket:
    """Below a prefix of a bucket."""

    def __init__(self, config: RunConfig, remote: Remote) -> None:
        self._config, self._remote = config, remote
        self.where = remote.bucket.uri()

    def names(self) -> list[str]:
        return patiently(self._remote.names)

    def look(self, name: str, *, deep: bool) -> CheckpointInfo:
        found = patiently(lambda: self._remote.find(name))
        check = self._remote.verify if deep else self._remote.check_sizes
        patiently(lambda: check(name, found.manifest))
        return found.info

    def remove(self, names: list[str]) -> None:
        for name in names:
            patiently(partial(self._remote.remove, name))

    def clean(self) -> list[str]:
        return patiently(self._remote.clean)

    def delete_all(self) -> int:
        check_own(self._config, self._remote.bucket.prefix)
        bucket = self._remote.bucket.at(f"{self._remote.bucket.prefix}/")
        keys = sorted(patiently(bucket.list), key=lambda key: not is_manifest(key))
        for key in keys:
            patiently(partial(bucket.delete, key))
        patiently(bucket.abort_uploads)
        return len([key for key in keys if is_manifest(key) and key.endswith(MANIFEST)])

    def points(self) -> list[PointFields]:
        self._remote.root.mkdir(parents=True, exist_ok=True)
        path = self._remote.root / METRICS
        with contextlib.suppress(NoSuchObjectError):
            patiently(lambda: self._remote.bucket.download(METRICS, path))
        return read_points(path)


def check_own(config: RunConfig, path: str) -> None:
    """ConfigError unless a path ends with the folder that the run's name and UID make: only that one is its own."""
    run = config.run
    own = f"{run.namespace}/{config.kind.lower()}/{run.name}-{run.uid[:8]}"
    if not f"/{path}".endswith(f"/{own}") or ".." in Path(path).parts:
        raise ConfigError(f"checkpoint.directory: expected a path that ends with {own}, got {path}: nothing is deleted")


def refuse_links(root: Path) -> None:
    """CheckpointError when the run's folder, or one that it lies in on the volume, is a link to somewhere else."""
    for path in (root, *list(root.parents)[:2]):
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISDIR(path.lstat().st_mode):
                raise CheckpointError(f"{path}: expected a directory, got a link or a file: nothing is deleted")
