"""`manifest.json` of a checkpoint: what the directory holds and how to know that it is intact.

A checkpoint directory is complete when its manifest is there and every file has the size and SHA-256 it names. The
manifest's own SHA-256 names the checkpoint everywhere else (status, run config).
"""

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polar.durable import Entry, sha256_of
from polar.errors import CheckpointError

FORMAT_VERSIONS = (1, 2)  # of checkpoints in one part, in several
MANIFEST = "manifest.json"
MODEL, OPTIMIZER, RNG = "model.safetensors", "optimizer.safetensors", "rng.safetensors"
STATE, CONFIG, TOKENIZER = "state.json", "config.json", "tokenizer.json"
FILES = (MODEL, OPTIMIZER, RNG, STATE, CONFIG, TOKENIZER)
MOST_SHARDS = 99_999
MAX_MANIFEST_BYTES = 1 << 20
FOLDER = re.compile(r"[a-z0-9-]{1,64}")
_TYPES: dict[str, tuple[type, ...]] = {
    "step": (int,), "tokens": (int,), "worldSize": (int,), "configHash": (str,), "completedAt": (str,),
    "parent": (str, type(None)), "valLoss": (float, int, type(None)), "files": (dict,),
}


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A parsed manifest; `sha256` is that of its bytes, `folder` where the files lie beside it in a bucket.

    `resumed_before`: the run had gone back to before that step when it saved this (config.resumeBeforeStep).
    """

    sha256: str
    step: int
    tokens: int
    world_size: int
    config_hash: str
    parent: str | None
    val_loss: float | None
    completed_at: str
    data_cursor: Any
    shards: int
    files: dict[str, Entry]
    folder: str | None
    resumed_before: int | None


def parts(name: str, shards: int) -> tuple[str, ...]:
    """The files that hold what `model.safetensors` or `optimizer.safetensors` holds in a checkpoint of one part."""
    stem = name.removesuffix(".safetensors")
    whole = shards == 1 or name not in (MODEL, OPTIMIZER)
    return (name,) if whole else tuple(f"{stem}-{rank:05d}-of-{shards:05d}.safetensors" for rank in range(shards))


def file_names(shards: int) -> tuple[str, ...]:
    """All files but the manifest."""
    return tuple(part for name in FILES for part in parts(name, shards))


def canonical_hash(value: Any) -> str:
    """SHA-256 of a JSON value in its canonical form (sorted keys, no spaces)."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def read_manifest(directory: Path) -> Manifest:
    """Reads and checks the manifest of a checkpoint directory; the files themselves are not looked at.

    Raises CheckpointError naming the file and what is wrong with it.
    """
    path = directory / MANIFEST
    return parse_manifest(path, _read_regular(path))


def parse_manifest(path: object, data: bytes) -> Manifest:
    """The manifest in `data`; `path` is for messages. Raises CheckpointError naming the field."""
    try:
        value = json.loads(data)
    except ValueError as error:
        raise CheckpointError(f"{path}: not JSON: {error}") from error
    _check_shape(path, value)
    val_loss = value["valLoss"]
    return Manifest(
        sha256=hashlib.sha256(data).hexdigest(), step=value["step"], tokens=value["tokens"],
        world_size=value["worldSize"], config_hash=value["configHash"], parent=value["parent"],
        val_loss=None if val_loss is None else float(val_loss), completed_at=value["completedAt"],
        data_cursor=value.get("dataCursor"), shards=value.get("shards", 1), files=value["files"],
        folder=value.get("folder"), resumed_before=value.get("resumedBefore"),
    )


def is_of_this_past(step: int, resumed_before: int | None, before: int | None) -> bool:
    """Whether a checkpoint belongs to a run that went back to before a step: earlier, or saved since then."""
    return before is None or step < before or resumed_before == before


def differing(present: Manifest, written: Manifest) -> list[str]:
    """Tensor files in which two checkpoints of one step differ."""
    tensors = (name for name in written.files if name.endswith(".safetensors"))
    return [name for name in tensors if present.files.get(name) != written.files[name]]


def verify_files(directory: Path, manifest: Manifest, names: Iterable[str] | None = None) -> None:
    """Checks size and SHA-256 of the named files (all) against the manifest. CheckpointError for the first bad one."""
    names = tuple(manifest.files if names is None else names)
    verify_sizes(directory, manifest, names)
    for name in names:
        path, wanted = directory / name, manifest.files[name]
        try:
            got = sha256_of(path)
        except OSError as error:
            raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
        check_hash(path, wanted, got)


def verify_sizes(directory: Path, manifest: Manifest, names: Iterable[str] | None = None) -> None:
    """Checks that the named files (all) are there and as long as they should be. CheckpointError."""
    for name in manifest.files if names is None else names:
        check_size(directory / name, manifest.files[name], _regular_size(directory / name))


def check_hash(where: object, wanted: Entry, got: str) -> None:
    """CheckpointError when a file's SHA-256 is another one."""
    if got != wanted["sha256"]:
        raise CheckpointError(f"{where}: expected SHA-256 {wanted['sha256'][:12]}..., got {got[:12]}...")


def check_size(where: object, wanted: Entry, got: int) -> None:
    """CheckpointError when a file has another size."""
    if got != wanted["size"]:
        raise CheckpointError(f"{where}: expected {wanted['size']} bytes, got {got}")


def _check_shape(path: object, value: Any) -> None:
    if not isinstance(value, dict) or value.get("formatVersion") not in FORMAT_VERSIONS:
        found = value.get("formatVersion") if isinstance(value, dict) else type(value).__name__
        raise CheckpointError(f"{path}: expected formatVersion {' or '.join(map(str, FORMAT_VERSIONS))}, got {found}")
    for key, types in _TYPES.items():
        if key not in value or not isinstance(value[key], types):
            raise CheckpointError(f"{path}: {key}: expected {types[0].__name__}, got {value.get(key)!r}")
    if not FOLDER.fullmatch(str(value.get("folder", "none"))):
        raise CheckpointError(f"{path}: folder: expected letters, digits and -, got {value['folder']!r}")
    shards = value.get("shards", 1) if value["formatVersion"] > 1 else 1
    if not isinstance(shards, int) or not 1 <= shards <= MOST_SHARDS:
        raise CheckpointError(f"{path}: shards: expected 1 to {MOST_SHARDS}, got {shards!r}")
    wanted = file_names(shards)
    if set(value["files"]) != set(wanted):
        raise CheckpointError(f"{path}: files: expected {', '.join(wanted)}, got {', '.join(sorted(value['files']))}")
    if canonical_hash({key: part for key, part in value.items() if key != "selfHash"}) != value.get("selfHash"):
        raise CheckpointError(f"{path}: does not match its own hash")
    for name, entry in value["files"].items():
        sound = isinstance(entry, dict) and isinstance(entry.get("size"), int) and isinstance(entry.get("sha256"), str)
        if not sound:
            raise CheckpointError(f"{path}: files.{name}: expected size and sha256, got {entry!r}")


def _read_regular(path: Path) -> bytes:
    size = _regular_size(path)
    if size > MAX_MANIFEST_BYTES:
        raise CheckpointError(f"{path}: expected at most {MAX_MANIFEST_BYTES} bytes, got {size}")
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error


def _regular_size(path: Path) -> int:
    try:
        found = os.lstat(path)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(found.st_mode):
        raise CheckpointError(f"{path}: expected a regular file")
    return found.st_size
