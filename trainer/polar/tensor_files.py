"""The tensors of a Hugging Face folder, found and described without being read, then read one at a time.

    model.safetensors, or model.safetensors.index.json and its shards
    pytorch_model.bin, or pytorch_model.bin.index.json and its shards

`.bin` files are pickles: this is the only place that opens any, and only with PyTorch's loader that makes nothing but
tensors. Every file is mapped into memory, so reading a tensor makes no copy of the file.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from polar.errors import CheckpointError
from polar.hf_config import read_json

INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
SINGLE_FILES = ("model.safetensors", "pytorch_model.bin")
SHARD_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*\.(safetensors|bin)\Z")
DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """Where a tensor is and what it is. `dtype` is None for a type that weights cannot have, named in `dtype_name`."""

    file: Path
    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype | None
    dtype_name: str

    def read(self) -> Tensor:
        """The tensor, backed by the mapped file for as long as it is in use."""
        if self.file.suffix == ".bin":
            return _open_bin(self.file)[self.name].detach()
        try:
            with safe_open(self.file, "pt") as file:
                tensor: Tensor = file.get_tensor(self.name)
                return tensor
        except Exception as error:  # the library's errors have no common class
            raise CheckpointError(f"{self.file}: {self.name}: cannot be read: {error}") from error


def find_tensors(folder: Path) -> dict[str, StoredTensor]:
    """All tensors in a folder by name. CheckpointError when a file is missing, damaged or not what the index says."""
    for name in INDEXES:
        if (folder / name).exists():
            return _indexed(folder / name)
    for name in SINGLE_FILES:
        if (folder / name).exists():
            return {tensor.name: tensor for tensor in _describe(folder / name)}
    raise CheckpointError(f"{folder}: expected one of {', '.join((*INDEXES, *SINGLE_FILES))}")


def _indexed(index: Path) -> dict[str, StoredTensor]:
    wanted = _weight_map(index)
    found: dict[str, StoredTensor] = {}
    for shard in sorted(set(wanted.values())):
        path = index.parent / shard
        if not path.exists():
            raise CheckpointError(f"{index}: weight_map: names the file {shard}, which is missing")
        for tensor in _describe(path):
            if wanted.get(tensor.name) != shard:
                expected = wanted.get(tensor.name, "no file")
                raise CheckpointError(f"{path}: {tensor.name}: the index expects it in {expected}")
            found[tensor.name] = tensor
    for name in wanted.keys() - found.keys():
        raise CheckpointError(f"{index.parent / wanted[name]}: {name}: missing, the index expects it here")
    return found


def _weight_map(index: Path) -> dict[str, str]:
    found = read_json(index).get("weight_map")
    if not isinstance(found, dict) or not found:
        raise CheckpointError(f"{index}: weight_map: expected an object that names a file for every tensor")
    suffix = index.name.removesuffix(".index.json").rpartition(".")[2]
    for name, shard in found.items():
        if not isinstance(shard, str) or not SHARD_NAME.match(shard) or not shard.endswith(f".{suffix}"):
            expected = f"expected a .{suffix} file in this folder, got {shard!r}"
            raise CheckpointError(f"{index}: weight_map: {name}: {expected}")
    return found


def _describe(path: Path) -> Iterator[StoredTensor]:
    if not path.is_file():
        raise CheckpointError(f"{path}: expected a regular file")
    return _describe_bin(path) if path.suffix == ".bin" else _describe_safetensors(path)


def _describe_safetensors(path: Path) -> Iterator[StoredTensor]:
    try:
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118 - the handle is no dict
                part = file.get_slice(name)
                kind = str(part.get_dtype())
                yield StoredTensor(path, name, tuple(part.get_shape()), DTYPES.get(kind), kind)
    except Exception as error:  # the library's errors have no common class
        raise CheckpointError(f"{path}: damaged or not a safetensors file: {error}") from error


def _describe_bin(path: Path) -> Iterator[StoredTensor]:
    for name, tensor in _open_bin(path).items():
        dtype = tensor.dtype if tensor.dtype in DTYPES.values() else None
        yield StoredTensor(path, name, tuple(tensor.shape), dtype, str(tensor.dtype).removeprefix("torch."))


def _open_bin(path: Path) -> dict[str, Tensor]:
    """The tensors of a `.bin` file, mapped. No code in the file is run: anything but tensors is refused."""
    try:
        found = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # zip, pickle and storage errors have no common class
        reason = str(error).partition("\n")[0]
        raise CheckpointError(f"{path}: damaged, of PyTorch's old format, or not only tensors: {reason}") from error
    sound = isinstance(found, dict) and all(
        isinstance(name, str) and isinstance(tensor, Tensor) and tensor.layout == torch.strided
        for name, tensor in found.items()
    )
    if not sound:
        raise CheckpointError(f"{path}: expected dense tensors by name")
    return dict(found)
