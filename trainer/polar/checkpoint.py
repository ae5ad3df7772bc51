"""Checkpoints: immutable directories `step-00000500/` that are complete or absent, never half there.

    <root>/step-00000500/{model,optimizer,rng}.safetensors  {state,config,tokenizer}.json  manifest.json
    <root>/LATEST                                           the newest one's name, for people and other tools

A save writes everything under a temporary name, the manifest last, fsyncs files and directory, renames, fsyncs the
parent, then swaps LATEST. Loading verifies every size and hash before a byte reaches torch. Nothing here is a pickle.
"""

import contextlib
import json
import re
import secrets
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from polar import manifest as manifests
from polar.durable import fsync_path, remove_tree, replace_file, sha256_of, storage_errors, write_file
from polar.errors import CheckpointError, PolarError
from polar.manifest import CONFIG, MANIFEST, MODEL, OPTIMIZER, RNG, STATE, TENSOR_FILES, TOKENIZER, Manifest

Tensors = dict[str, torch.Tensor]
STEP_NAME = re.compile(r"step-(\d{8,})\Z")
TEMPORARY = ".tmp-"


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """Everything a checkpoint holds. `state` and `config` are JSON; `state["dataCursor"]` goes to the manifest."""

    step: int
    tokens: int
    model: Tensors
    optimizer: Tensors
    rng: Tensors
    state: dict[str, Any]
    config: dict[str, Any]
    tokenizer_json: str
    val_loss: float | None = None
    world_size: int = 1
    parent: str | None = None


@dataclass(frozen=True, kw_only=True)
class CheckpointInfo:
    """A complete checkpoint on storage. `completed_at` is for display only (RFC 3339, UTC)."""

    step: int
    path: Path
    name: str
    manifest_sha256: str
    val_loss: float | None
    tokens: int
    completed_at: str


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A verified checkpoint in memory. `problems` says what was wrong with newer ones that were passed over."""

    info: CheckpointInfo
    model: Tensors
    optimizer: Tensors
    rng: Tensors
    state: dict[str, Any]
    config: dict[str, Any]
    tokenizer_json: str
    world_size: int
    parent: str | None
    config_hash: str
    problems: tuple[str, ...] = field(default=())


def save(root: Path, snapshot: Snapshot) -> CheckpointInfo:
    """Writes a checkpoint durably and returns it once it would survive a power cut.

    Saving a step again is a no-op when model, optimizer and RNG are the same and raises PolarError when they differ
    (another attempt saves here too; the next one continues from what is there); one of that name that fails
    verification is replaced. Raises StorageFullError when the volume is full; whatever goes wrong, temporary files are
    removed and earlier checkpoints are untouched.
    """
    name = f"step-{snapshot.step:08d}"
    temporary = root / f"{TEMPORARY}{name}-{secrets.token_hex(4)}"  # pods have equal process ids
    with storage_errors(root, f"saving {root / name}"):
        try:
            root.mkdir(parents=True, exist_ok=True)
            temporary.mkdir()
            written = _write_files(temporary, snapshot)
            info = _commit(temporary, root / name, written)
        except BaseException:
            with contextlib.suppress(OSError):
                remove_tree(temporary)
            raise
        replace_file(root / "LATEST", f"{name}\n".encode())
    return info


def load(path: Path, manifest_sha256: str | None = None, *, model_only: bool = False) -> Loaded:
    """Loads one checkpoint directory after verifying all of it.

    `manifest_sha256` pins the checkpoint; `model_only` leaves optimizer and RNG empty (and unread). Raises
    CheckpointError naming the file that is missing or wrong.
    """
    path = Path(path)
    manifest = manifests.read_manifest(path)
    if manifest_sha256 is not None and manifest.sha256 != manifest_sha256:
        raise CheckpointError(f"{path / MANIFEST}: expected SHA-256 {manifest_sha256}, got {manifest.sha256}")
    skipped = (OPTIMIZER, RNG) if model_only else ()
    manifests.verify_files(path, manifest, tuple(name for name in manifests.FILES if name not in skipped))
    tensors = {name: {} if name in skipped else _read_tensors(path / name) for name in TENSOR_FILES}
    return Loaded(
        info=_info(path, manifest), model=tensors[MODEL], optimizer=tensors[OPTIMIZER], rng=tensors[RNG],
        state=_read_json(path / STATE), config=_read_json(path / CONFIG),
        tokenizer_json=(path / TOKENIZER).read_text(encoding="utf-8"), world_size=manifest.world_size,
        parent=manifest.parent, config_hash=manifest.config_hash,
    )


def load_newest(root: Path) -> Loaded | None:
    """Loads the newest checkpoint that verifies, or None when there are none.

    Raises CheckpointError when there are checkpoints and none verifies: starting over silently would lose the run.
    """
    problems: list[str] = []
    for path in reversed(step_directories(root)):
        try:
            return replace(load(path), problems=tuple(problems))
        except CheckpointError as error:
            problems.append(str(error))
    if problems:
        raise CheckpointError(f"no checkpoint in {root} verifies ({'; '.join(problems)}); remove them to start over")
    return None


def list_complete(root: Path) -> list[CheckpointInfo]:
    """The checkpoints with a readable manifest, oldest first. Contents are not hashed."""
    found = []
    for path in step_directories(root):
        with contextlib.suppress(CheckpointError):
            found.append(_info(path, manifests.read_manifest(path)))
    return found


def _write_files(directory: Path, snapshot: Snapshot) -> Manifest:
    """Writes all files, the manifest last, each fsynced; then the directory."""
    groups = {MODEL: snapshot.model, OPTIMIZER: snapshot.optimizer, RNG: snapshot.rng}
    for name, tensors in groups.items():
        safetensors.torch.save_file({key: value.contiguous() for key, value in tensors.items()}, directory / name)
        (directory / name).chmod(0o644)  # the library makes files only their owner can read
        fsync_path(directory / name)
    write_file(directory / STATE, _json(snapshot.state))
    write_file(directory / CONFIG, _json(snapshot.config))
    write_file(directory / TOKENIZER, snapshot.tokenizer_json.encode())
    files = {
        name: {"size": (directory / name).stat().st_size, "sha256": sha256_of(directory / name)}
        for name in manifests.FILES
    }
    document = {
        "formatVersion": manifests.FORMAT_VERSION, "step": snapshot.step, "tokens": snapshot.tokens,
        "dataCursor": snapshot.state.get("dataCursor"), "worldSize": snapshot.world_size,
        "configHash": manifests.canonical_hash(snapshot.config), "parent": snapshot.parent,
        "valLoss": snapshot.val_loss, "completedAt": datetime.now(UTC).isoformat(timespec="seconds"), "files": files,
    }
    data = _json({**document, "selfHash": manifests.canonical_hash(document)})
    write_file(directory / MANIFEST, data)
    fsync_path(directory)
    return manifests.parse_manifest(directory / MANIFEST, data)


def _commit(temporary: Path, target: Path, written: Manifest) -> CheckpointInfo:
    """Gives the finished directory its name, unless a good one of that name is there."""
    if target.exists():
        try:
            present = manifests.read_manifest(target)
            manifests.verify_files(target, present)
        except CheckpointError:
            remove_tree(target)
        else:
            differing = [name for name in TENSOR_FILES if present.files[name] != written.files[name]]
            if differing:
                raise PolarError(f"{target}: exists and differs in {', '.join(differing)}; not overwritten")
            remove_tree(temporary)
            return _info(target, present)
    temporary.rename(target)
    fsync_path(target.parent)
    return _info(target, written)


def step_directories(root: Path) -> list[Path]:
    """Checkpoint directories with a manifest, by step; a step directory without one is being removed."""
    if not root.is_dir():
        return []
    named = [path for path in root.iterdir() if STEP_NAME.match(path.name) and (path / MANIFEST).exists()]
    return sorted(named, key=lambda path: int(path.name.removeprefix("step-")))


def _info(path: Path, manifest: Manifest) -> CheckpointInfo:
    return CheckpointInfo(
        step=manifest.step, path=path, name=path.name, manifest_sha256=manifest.sha256,
        val_loss=manifest.val_loss, tokens=manifest.tokens, completed_at=manifest.completed_at,
    )


def _read_tensors(path: Path) -> Tensors:
    try:
        return safetensors.torch.load_file(path)
    except Exception as error:
        raise CheckpointError(f"{path}: not a safetensors file: {error}") from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: not JSON: {error}") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: expected a JSON object, got {type(value).__name__}")
    return value


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()
