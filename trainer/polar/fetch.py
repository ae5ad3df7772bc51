"""A gang begins from a bucket: each pod brings the checkpoint to its own folder, its ranks some of the files each."""

import contextlib
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from polar import checkpoint
from polar import manifest as manifests
from polar.checkpoint import Loaded
from polar.config import RunConfig
from polar.distributed import Dist
from polar.durable import replace_file, storage_errors
from polar.errors import CheckpointError, ConfigError
from polar.manifest import MANIFEST, is_of_this_past
from polar.metrics_log import NAME as METRICS
from polar.patience import patiently
from polar.pod import Pod
from polar.remote import Found, Remote
from polar.resume import agree, newest_of
from polar.s3_errors import NoSuchObjectError
from polar.uploader import upload_metrics
from polar.watch import WATCH

SCHEME = "s3://"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A checkpoint; `manifest_sha256` pins it, `model_only` leaves optimizer and RNG where they are."""

    name: str
    manifest_sha256: str | None = None
    model_only: bool = False


def given(config: RunConfig, uri: str) -> tuple[Remote, str]:
    """Where a checkpoint or folder s3://bucket/... of another run is, in the same store, and its name there.

    ConfigError when this run has no such store.
    """
    s3 = config.checkpoint.s3
    if s3 is None:
        raise ConfigError(f"{uri}: expected a run whose checkpoint.store is s3: its endpoint and credentials are used")
    bucket, _, key = uri.removeprefix(SCHEME).partition("/")
    prefix, _, name = key.rstrip("/").rpartition("/")
    if not bucket or not name:
        raise ConfigError(f"{uri}: expected s3://bucket/path")
    root = Path(config.checkpoint.directory) / f"given-{manifests.canonical_hash(uri)[:8]}"
    return Remote(replace(s3, bucket=bucket, prefix=prefix), root), name


def load_from_bucket(remote: Remote, dist: Dist, pod: Pod, before: int | None = None) -> Loaded | None:
    """The newest checkpoint of the run that verifies, as `resume.load_agreed`. Collective.

    One that a run in a single pod finished in its folder and could not upload counts, and is uploaded first.
    """
    names: list[str] = []
    if dist.is_main:
        if pod.ranks == dist.world_size:
            _bring_up(remote, before)
        listed = patiently(remote.names)
        names = [name for name in reversed(listed) if _may_be_loaded(remote, name, before)]
    where = remote.bucket.uri()
    loaded = newest_of(names, where, dist, lambda name: fetch_together(remote, Wanted(name=name), dist, pod))
    if dist.is_main and loaded:
        with contextlib.suppress(NoSuchObjectError):
            patiently(lambda: remote.bucket.download(METRICS, remote.root / METRICS))
    return loaded


def fetch_together(remote: Remote, wanted: Wanted, dist: Dist, pod: Pod) -> Loaded:
    """Opens a checkpoint of the bucket once every pod has all of it in its folder, verified. Collective.

    Raises CheckpointError on every rank when any of them finds something wrong.
    """
    failure, found, name, pinned = "", None, wanted.name, wanted.manifest_sha256
    try:
        found = patiently(lambda: remote.find(name))
        if pinned not in (None, found.manifest.sha256):
            where = remote.bucket.uri(f"{name}/{MANIFEST}")
            raise CheckpointError(f"{where}: expected SHA-256 {pinned}, got {found.manifest.sha256}")
        _fetch(remote, found, pod, wanted.model_only)
    except CheckpointError as error:
        failure = str(error)
    agree(remote.bucket.uri(name), dist, failure, found.manifest.sha256 if found else "")
    assert found is not None
    if pod.rank == 0:
        replace_file(remote.root / name / MANIFEST, found.data)
    dist.barrier()
    return checkpoint.open_verified(remote.root / name, found.manifest, model_only=wanted.model_only)


def fetch_folder(remote: Remote, name: str, dist: Dist, pod: Pod) -> Path:
    """Brings a folder that is no checkpoint, such as a Hugging Face model, to every pod. Collective."""
    target, files = remote.root / name, sorted(patiently(lambda: remote.bucket.list(f"{name}/")))
    if not files:
        raise CheckpointError(f"{remote.bucket.uri(name)}: no such checkpoint or folder")
    with storage_errors(remote.root, f"downloading {remote.bucket.uri(name)} to {remote.root}"):
        for key in files[pod.rank :: pod.ranks]:
            file = key.removeprefix(f"{name}/")
            if file and "/" not in file:  # of subfolders nothing is read
                target.mkdir(parents=True, exist_ok=True)
                patiently(partial(remote.bucket.download, key, target / file, _beat))
    dist.barrier()
    return target


def _fetch(remote: Remote, found: Found, pod: Pod, model_only: bool) -> None:
    """This rank's share of the files, the largest first."""
    files, name = found.manifest.files, found.info.name
    wanted = [file for file in files if not (model_only and file.startswith(("optimizer", "rng")))]
    by_size = sorted(wanted, key=lambda file: (-files[file]["size"], file))
    own = by_size[pod.rank :: pod.ranks]
    patiently(lambda: remote.check_sizes(name, found.manifest))
    with storage_errors(remote.root, f"downloading {remote.bucket.uri(name)} to {remote.root}"):
        patiently(lambda: remote.fetch(name, found.manifest, own, _beat))


def _bring_up(remote: Remote, before: int | None) -> None:
    """Uploads the newest local checkpoint if the bucket has none as new."""
    there = checkpoint.list_complete(remote.root)
    local = [one for one in there if is_of_this_past(one.step, one.resumed_before, before)]
    listed = patiently(remote.names)
    if not local or (listed and checkpoint.step_of(listed[-1]) >= local[-1].step):
        return
    newest = local[-1]
    try:
        manifest = manifests.read_manifest(newest.path)
        manifests.verify_files(newest.path, manifest)
    except CheckpointError:
        return
    data = (newest.path / MANIFEST).read_bytes()
    patiently(lambda: remote.upload(newest.name, manifest, manifest.files, _beat))
    patiently(lambda: upload_metrics(remote))
    patiently(lambda: remote.commit(newest.name, data, print))


def _may_be_loaded(remote: Remote, name: str, before: int | None) -> bool:
    resumed_before = None
    if before is not None:
        with contextlib.suppress(CheckpointError):
            resumed_before = patiently(lambda: remote.find(name)).manifest.resumed_before
    return is_of_this_past(checkpoint.step_of(name), resumed_before, before)


def _beat(_bytes: int) -> None:
    WATCH.beat()
