"""The exports that a run leaves: its best checkpoint in every format asked for, beside its checkpoints.

<checkpoint directory>/export/huggingface   /export/onnx        and below the run's prefix, when it has a bucket
"""

import json
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from polar.checkpoint import CheckpointInfo, list_complete
from polar.config import RunConfig
from polar.config_runtime import Format
from polar.distributed import Dist
from polar.durable import remove_tree
from polar.fetch import Wanted, fetch_together
from polar.hf_export import HfOptions, ValueTooLargeError, export_hf
from polar.manifest import MANIFEST
from polar.patience import patiently
from polar.pod import Pod
from polar.remote import Remote, remote_of
from polar.retention import best_of
from polar.s3_errors import NoSuchObjectError

FACTS, BROUGHT = "polar.json", "given-best"
Say = Callable[[str], None]
Beat = Callable[[], None]


def export_best(config: RunConfig, say: Callable[[str], None], beat: Beat = lambda: None) -> None:
    """Export the checkpoint of lowest validation loss (the newest, when none has one). One process does this, and calls
    `beat` for every tensor.

    What is there of the same checkpoint stays; what is there of another one is replaced. Weights are written in fp16 as
    the released models are, or in bf16 when fp16 cannot hold them. Raises PolarError.
    """
    if not config.export.formats:
        return
    directory, remote = Path(config.checkpoint.directory), remote_of(config.checkpoint)
    checkpoints = patiently(remote.complete) if remote else list_complete(directory)
    if not checkpoints:
        return
    best = best_of(checkpoints) or checkpoints[-1]
    for left in (directory / "export").glob(".tmp-*"):
        remove_tree(left)
    if remote:
        _export_to_bucket(config, remote, best, (say, beat))
    else:
        _export_to_folder(config.export.formats, directory / "export", best, (say, beat))


def _export_to_folder(formats: Iterable[Format], root: Path, best: CheckpointInfo, tell: tuple[Say, Beat]) -> None:
    for name in formats:
        target = root / name
        if not _is_of(target, best):
            _write(name, (best.path, target), *tell)
            tell[0](f"exported {best.name} to {target}")


def _export_to_bucket(config: RunConfig, remote: Remote, best: CheckpointInfo, tell: tuple[Say, Beat]) -> None:
    """By way of the local folder, to which the checkpoint is brought if it is not there."""
    say, beat = tell
    for name in config.export.formats:
        if _has(remote, name, best):
            continue
        target, key = remote.root / "export" / name, f"export/{name}"
        _write(name, (_brought(remote, best), target), say, beat)
        upload = partial(remote.upload_folder, target, key, FACTS, lambda _: beat())
        patiently(upload)
        say(f"exported {best.name} to {remote.bucket.uri(key)}")
    remove_tree(remote.root / BROUGHT)


def _has(remote: Remote, name: str, best: CheckpointInfo) -> bool:
    try:
        return _is_about(patiently(partial(remote.bucket.get, f"export/{name}/{FACTS}")), best)
    except NoSuchObjectError:
        return False


def _brought(remote: Remote, best: CheckpointInfo) -> Path:
    if (best.path / MANIFEST).exists():
        return best.path
    there = remote.brought_to(remote.root / BROUGHT)
    wanted = Wanted(name=best.name, manifest_sha256=best.manifest_sha256, model_only=True)
    return fetch_together(there, wanted, Dist(), Pod()).info.path


def _write(name: Format, paths: tuple[Path, Path], say: Callable[[str], None], beat: Beat) -> None:
    if name == "onnx":
        from polar.onnx_export import export_onnx  # noqa: PLC0415 - every rank imports this file, few need onnx

        export_onnx(*paths, replace=True, beat=beat)
        return
    try:
        export_hf(*paths, HfOptions(beat=beat), replace=True)
    except ValueTooLargeError as error:
        say(f"export: {error}")
        export_hf(*paths, HfOptions(dtype="bfloat16", beat=beat), replace=True)


def _is_of(target: Path, checkpoint: CheckpointInfo) -> bool:
    try:
        return _is_about((target / FACTS).read_bytes(), checkpoint)
    except OSError:
        return False


def _is_about(data: bytes, checkpoint: CheckpointInfo) -> bool:
    try:
        facts = json.loads(data)
    except ValueError:
        return False
    return isinstance(facts, dict) and facts.get("manifestSha256") == checkpoint.manifest_sha256
