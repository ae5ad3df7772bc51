"""Checkpoints: immutable directories `step-00000500/` that are complete or absent, never half there.

    <root>/step-00000500/{model,optimizer,rng}.safetensors  {state,config,tokenizer}.json  manifest.json
    <root>/LATEST                                           the newest one's name, for people and other tools

A save writes everything under a temporary name, the manifest last, fsyncs files and directory, renames, fsyncs the
parent, then swaps LATEST. Loading verifies every size and hash before a byte reaches torch. Nothing here is a pickle.
"""

import contextlib
import json
import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from polar import manifest as manifests
from polar.durable import Entry, fsync_path, remove_tree, replace_file, storage_errors, write_file
from polar.errors import CheckpointError, PolarError
from polar.manifest import CONFIG, MANIFEST, MODEL, OPTIMIZER, RNG, STATE, TOKENIZER, Manifest
from polar.staging import Buffer, Staged
from polar.stored import Stored
from polar.team import Team, collect, publish, publish_failure

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


class Buffers:
    """Host memory for snapshots, kept between saves."""

    def __init__(self) -> None:
        self.model, self.optimizer = Buffer(), Buffer()


@dataclass(frozen=True, kw_only=True)
class StagedSnapshot:
    """A snapshot whose tensors were copied to the host, by file."""

    meta: Snapshot
    tensors: dict[str, Staged]

    @property
    def name(self) -> str:
        """The checkpoint's directory."""
        return f"step-{self.meta.step:08d}"


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
    resumed_before: int | None = None


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A verified checkpoint; its tensors are read when asked for.

    `problems` says what was wrong with newer ones that were passed over.
    """

    info: CheckpointInfo
    model: Stored
    optimizer: Stored
    rng: Stored
    state: dict[str, Any]
    config: dict[str, Any]
    tokenizer_json: str
    world_size: int
    parent: str | None
    config_hash: str
    problems: tuple[str, ...] = field(default=())


def save(root: Path, snapshot: Snapshot) -> CheckpointInfo:
    """Writes a checkpoint durably, by one process, and returns it once it would survive a power cut. See `write`."""
    info = write(root, stage(snapshot), Team())
    assert info is not None
    return info


def stage(snapshot: Snapshot, buffers: Buffers | None = None, main: bool = True) -> StagedSnapshot:
    """Copies this rank's part of a snapshot to the host. `buffers` are filled anew: one save at a time can use them."""
    own = buffers or Buffers()
    return StagedSnapshot(
        meta=replace(snapshot, model={}, optimizer={}, rng={}),
        tensors={
            MODEL: own.model.stage(snapshot.model, main),
            OPTIMIZER: own.optimizer.stage(snapshot.optimizer, main),
            **({RNG: Buffer().stage(snapshot.rng)} if main else {}),
        },
    )


def write(root: Path, staged: StagedSnapshot, team: Team) -> CheckpointInfo | None:
    """Writes a team's checkpoint, or a rank's part of it; the rank that completes it returns it once it is durable.

    Saving a step again is a no-op when model, optimizer and RNG are the same and raises PolarError when they differ
    (another attempt saves here too; the next one continues from what is there); one of that name that fails
    verification is replaced. Raises StorageFullError when the volume is full; whatever goes wrong, temporary files are
    removed and earlier checkpoints are untouched.
    """
    temporary = root / f"{TEMPORARY}{staged.name}-{team.token}"  # pods have equal process ids
    if not team.is_main:
        _write_part(root, temporary, staged, team)
        return None
    with storage_errors(root, f"saving {root / staged.name}"):
        try:
            root.mkdir(parents=True, exist_ok=True)
            temporary.mkdir(exist_ok=team.ranks > 1)
            written = _write_files(temporary, staged, team)
            info = _commit(temporary, root / staged.name, written)
        except BaseException:
            with contextlib.suppress(OSError):
                remove_tree(temporary)
            raise
        replace_file(root / "LATEST", f"{staged.name}\n".encode())
    return info


def load(path: Path, manifest_sha256: str | None = None, *, model_only: bool = False) -> Loaded:
    """Loads one checkpoint directory after verifying all of it.

    `manifest_sha256` pins the checkpoint; `model_only` leaves optimizer and RNG empty (and unread). Raises
    CheckpointError naming the file that is missing or wrong.
    """
    manifest = read_pinned(path, manifest_sha256)
    skipped = (OPTIMIZER, RNG) if model_only else ()
    files = [part for name in manifests.FILES if name not in skipped for part in manifests.parts(name, manifest.shards)]
    manifests.verify_files(path, manifest, files)
    return open_verified(path, manifest, model_only=model_only)


def read_pinned(path: Path, manifest_sha256: str | None) -> Manifest:
    """A checkpoint's manifest, which has the given SHA-256, if one is given. CheckpointError."""
    manifest = manifests.read_manifest(path)
    if manifest_sha256 is not None and manifest.sha256 != manifest_sha256:
        raise CheckpointError(f"{path / MANIFEST}: expected SHA-256 {manifest_sha256}, got {manifest.sha256}")
    return manifest


def open_verified(path: Path, manifest: Manifest, *, model_only: bool = False) -> Loaded:
    """A checkpoint whose files have been verified against its manifest."""

    def tensors(name: str) -> Stored:
        return Stored([path / part for part in manifests.parts(name, manifest.shards)])

    return Loaded(
        info=describe(path, manifest), model=tensors(MODEL),
        optimizer=Stored() if model_only else tensors(OPTIMIZER), rng=Stored() if model_only else tensors(RNG),
        state=_read_json(path / STATE), config=_read_json(path / CONFIG),
        tokenizer_json=(path / TOKENIZER).read_text(encoding="utf-8"), world_size=manifest.world_size,
        parent=manifest.parent, config_hash=manifest.config_hash,
    )  # fmt: skip


def list_complete(root: Path) -> list[CheckpointInfo]:
    """The checkpoints with a readable manifest, oldest first. Contents are not hashed."""
    found = []
    for path in step_directories(root):
        with contextlib.suppress(CheckpointError):
            found.append(describe(path, manifests.read_manifest(path)))
    return found


def _write_part(root: Path, temporary: Path, staged: StagedSnapshot, team: Team) -> None:
    """Writes the files of a rank that does not complete the checkpoint."""
    try:
        with storage_errors(root, f"saving part {team.rank + 1} of {team.ranks} of {root / staged.name}"):
            root.mkdir(parents=True, exist_ok=True)
            temporary.mkdir(exist_ok=True)
            publish(temporary, team, write_tensors(temporary, staged, team))
    except Exception as error:
        if not temporary.exists():
            return  # rank 0 gave up, and says why
        publish_failure(temporary, team, error)
        raise


def write_tensors(directory: Path, staged: StagedSnapshot, team: Team) -> dict[str, Entry]:
    """Writes this rank's tensor files, each fsynced."""
    return {
        part: tensors.write(directory / part)
        for name, tensors in staged.tensors.items()
        for part in [manifests.parts(name, team.ranks)[team.rank if name != RNG else 0]]
    }


def _write_files(directory: Path, staged: StagedSnapshot, team: Team) -> Manifest:
    """Writes all files, the manifest last, when the parts of all ranks are there; then the directory."""
    files = write_tensors(directory, staged, team) | write_texts(directory, staged) | collect(directory, team)
    data = manifest_of(staged, team, files)
    write_file(directory / MANIFEST, data)
    fsync_path(directory)
    return manifests.parse_manifest(directory / MANIFEST, data)


def write_texts(directory: Path, staged: StagedSnapshot) -> dict[str, Entry]:
    """Writes the files that hold no tensors, each fsynced."""
    meta = staged.meta
    texts = {STATE: _json(meta.state), CONFIG: _json(meta.config), TOKENIZER: meta.tokenizer_json.encode()}
    return {name: write_file(directory / name, data) for name, data in texts.items()}


def manifest_of(staged: StagedSnapshot, team: Team, files: dict[str, Entry]) -> bytes:
    """The manifest of a checkpoint with these files."""
    meta = staged.meta
    before = meta.config.get("resumeBeforeStep")
    document = {
        "formatVersion": 1 if team.ranks == 1 else 2, "step": meta.step, "tokens": meta.tokens,
        "dataCursor": meta.state.get("dataCursor"), "worldSize": meta.world_size,
        "configHash": manifests.canonical_hash(meta.config), "parent": meta.parent,
        "valLoss": meta.val_loss, "completedAt": datetime.now(UTC).isoformat(timespec="seconds"),
        "files": {name: files[name] for name in manifests.file_names(team.ranks)},
        **({"shards": team.ranks} if team.ranks > 1 else {}), **({"folder": team.folder} if team.folder else {}),
        **({"resumedBefore": before} if before else {}),
    }  # fmt: skip
    return _json({**document, "selfHash": manifests.canonical_hash(document)})


def _commit(temporary: Path, target: Path, written: Manifest) -> CheckpointInfo:
    """Gives the finished directory its name, unless a good one of that name is there."""
    if target.exists():
        try:
            present = manifests.read_manifest(target)
            manifests.verify_files(target, present)
        except CheckpointError:
            remove_tree(target)
        else:
            if differing := manifests.differing(present, written):
                raise PolarError(f"{target}: exists and differs in {', '.join(differing)}; not overwritten")
            remove_tree(temporary)
            return describe(target, present)
    temporary.rename(target)
    fsync_path(target.parent)
    return describe(target, written)


def step_directories(root: Path) -> list[Path]:
    """Checkpoint directories with a manifest, by step; a step directory without one is being removed."""
    entries = root.iterdir() if root.is_dir() else ()
    named = [path for path in entries if STEP_NAME.match(path.name) and (path / MANIFEST).exists()]
    return sorted(named, key=lambda path: step_of(path.name))


def step_of(name: str) -> int:
    """The step in a checkpoint's name."""
    return int(name.removeprefix("step-"))


def describe(path: Path, manifest: Manifest) -> CheckpointInfo:
    """What a manifest says of the checkpoint at `path`."""
    return CheckpointInfo(
        step=manifest.step, path=path, name=path.name, manifest_sha256=manifest.sha256,
        val_loss=manifest.val_loss, tokens=manifest.tokens, completed_at=manifest.completed_at,
        resumed_before=manifest.resumed_before,
    )


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
