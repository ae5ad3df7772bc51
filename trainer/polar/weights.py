"""Weights to start from: an own checkpoint (manifest.json) or a Hugging Face folder (config.json).

Everything that can be wrong is found before the first tensor is read. Tensors come one at a time, in the type they are
stored in, backed by the mapped file: putting them into a model makes no second copy of the model in memory.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from polar import checkpoint
from polar.checkpoint import Loaded
from polar.config import Architecture
from polar.config_reader import read_object
from polar.errors import CheckpointError, ConfigError
from polar.hf_config import HfModel, read_hf_config
from polar.internlm2_tokenizer import read_internlm2
from polar.layouts import HEAD, Entry, entries, own_shapes, split, stored_shape
from polar.manifest import CONFIG, MANIFEST, STATE, TOKENIZER
from polar.stored import shape_of
from polar.tensor_files import StoredTensor, find_tensors

UNUSED = ("output.weight", "lm_head.weight")  # language-model heads
UNUSED_SUFFIX = ".rotary_emb.inv_freq"


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """What an own checkpoint says of the run it comes from. `run_config` is the run's JSON document."""

    run_config: dict[str, Any]
    step: int
    tokens: int
    val_loss: float | None


@dataclass(frozen=True, kw_only=True)
class Weights:
    """A model on storage. `max_length` is the longest sequence for which the rotary embedding is the trainer's (None:
    any), `positions` how long sequences may be. A Hugging Face folder has no `manifest_sha256` and no `origin`."""

    where: str
    architecture: Architecture
    vocab_size: int
    tokenizer_json: str
    manifest_sha256: str | None
    max_length: int | None
    positions: int
    origin: Origin | None
    read: Callable[[], Iterator[tuple[str, Tensor]]]

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Name (as in `model.py`) and tensor, one at a time, in the model's order. Copy them, do not keep them.

        A folder without a reward head gives a zero head, as the official code starts one.
        """
        return self.read()

    def check_length(self, max_length: int) -> None:
        """CheckpointError when sequences of this length need another rotary embedding than the trainer's."""
        if self.max_length is not None and max_length > self.max_length:
            raise CheckpointError(
                f"{self.where}: rope_scaling is dynamic: expected data.maxLength of at most {self.max_length} "
                f"(max_position_embeddings), got {max_length}"
            )


def open_weights(path: Path, manifest_sha256: str | None = None) -> Weights:
    """Opens and checks an own checkpoint or a Hugging Face folder.

    `manifest_sha256` pins a checkpoint. Raises CheckpointError naming the file, tensor or key, what was expected and
    what was got.
    """
    path = Path(path)
    if (path / MANIFEST).exists():
        return of_checkpoint(checkpoint.load(path, manifest_sha256, model_only=True))
    if not (path / CONFIG).exists():
        raise CheckpointError(f"{path}: expected a checkpoint ({MANIFEST}) or a Hugging Face folder ({CONFIG})")
    if manifest_sha256 is not None:
        raise CheckpointError(f"{path / MANIFEST}: expected SHA-256 {manifest_sha256}, found no such file")
    return _hugging_face(path)


def read_dimensions(state: dict[str, Any], path: Path) -> tuple[Architecture, int]:
    """Dimensions and vocabulary size in a checkpoint's state. CheckpointError when it does not say."""
    saved = state.get("model")
    if not isinstance(saved, dict) or not isinstance(saved.get("vocabSize"), int):
        raise CheckpointError(f"{path / STATE}: model: expected the dimensions of a model")
    dimensions = {key: value for key, value in saved.items() if key != "vocabSize"}
    try:
        return read_object(Architecture, dimensions, "model"), saved["vocabSize"]
    except ConfigError as error:
        raise CheckpointError(f"{path / STATE}: {error}") from error


def of_checkpoint(loaded: Loaded) -> Weights:
    """The weights of a checkpoint that has been verified. CheckpointError when they are not those of a reward model."""
    path = loaded.info.path
    arch, vocab_size = read_dimensions(loaded.state, path)
    shapes = own_shapes(arch, vocab_size)
    _same_names(path, set(loaded.model), set(shapes))
    for name, shape in shapes.items():
        _has_shape(f"{path}: {name}", shape, shape_of(loaded.model, name))
    info = loaded.info
    return Weights(
        where=str(path), architecture=arch, vocab_size=vocab_size, tokenizer_json=loaded.tokenizer_json,
        manifest_sha256=info.manifest_sha256, max_length=None, positions=_trained_length(loaded.config, path),
        origin=Origin(run_config=loaded.config, step=info.step, tokens=info.tokens, val_loss=info.val_loss),
        read=lambda: ((name, loaded.model[name]) for name in shapes),
    )  # fmt: skip


def _trained_length(run_config: dict[str, Any], path: Path) -> int:
    data = run_config.get("data")
    length = data.get("maxLength") if isinstance(data, dict) else None
    if not isinstance(length, int):
        raise CheckpointError(f"{path / CONFIG}: data.maxLength: expected a whole number, got {length!r}")
    return length


def _hugging_face(path: Path) -> Weights:
    model = read_hf_config(path / CONFIG)
    shapes = own_shapes(model.architecture, model.vocab_size)
    plan = {entry.stored: entry for entry in entries(model.layout, list(shapes), model.head)}
    stored = find_tensors(path)
    ignored = {name for name in stored if name in UNUSED or name.endswith(UNUSED_SUFFIX)}
    _same_names(path, set(stored) - ignored, set(plan))
    for name, entry in plan.items():
        tensor = stored[name]
        where = f"{tensor.file}: {name}"
        _has_shape(where, stored_shape(entry, shapes), tensor.shape)
        if tensor.dtype is None:
            raise CheckpointError(f"{where}: expected float32, float16 or bfloat16, got {tensor.dtype_name}")
    return Weights(
        where=str(path), architecture=model.architecture, vocab_size=model.vocab_size,
        tokenizer_json=_tokenizer(path), manifest_sha256=None, max_length=model.max_length,
        positions=model.positions, origin=None, read=lambda: _read(model, plan, stored),
    )  # fmt: skip


def _read(model: HfModel, plan: dict[str, Entry], stored: dict[str, StoredTensor]) -> Iterator[tuple[str, Tensor]]:
    for name, entry in plan.items():
        if len(entry.own) == 1:
            yield entry.own[0], stored[name].read()
        else:
            yield from zip(entry.own, split(stored[name].read(), model.architecture), strict=True)
    if model.head is None:
        yield HEAD, torch.zeros(1, model.architecture.hidden_size)


def _same_names(path: Path, got: set[str], wanted: set[str]) -> None:
    missing, extra = sorted(wanted - got), sorted(got - wanted)
    if missing:
        raise CheckpointError(f"{path}: {missing[0]}: expected this tensor, got none ({len(missing)} are missing)")
    if extra:
        raise CheckpointError(f"{path}: {extra[0]}: expected no such tensor ({len(extra)} are too many)")


def _has_shape(where: str, wanted: tuple[int, ...], got: tuple[int, ...]) -> None:
    if got != wanted:
        raise CheckpointError(f"{where}: expected shape {list(wanted)}, got {list(got)}")


def _tokenizer(folder: Path) -> str:
    """The text of tokenizer.json; an InternLM2 folder has only a tokenizer.model, which is made into one."""
    path = folder / TOKENIZER
    try:
        if not path.exists() and (folder / "tokenizer.model").exists():
            return str(read_internlm2(folder).to_str())
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: missing, and so is tokenizer.model") from error
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path}: cannot be read: {error}") from error
    except ValueError as error:
        raise CheckpointError(str(error)) from error
