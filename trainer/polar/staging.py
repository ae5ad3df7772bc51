"""Tensors on their way to a file: copied into host memory that is reused from save to save, hashed while written.

Fresh memory is what makes a copy slow: the system clears every page of it first. On a GPU the memory is pinned and the
copy is queued, so that training goes on at once.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from polar.durable import CHUNK_BYTES, Entry, write_chunks
from polar.shard import Part, part_of

ROWS = "rows"  # metadata of a file of parts: {tensor: [first row, rows of the whole tensor]} as JSON
DTYPES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.int64: "I64", torch.int32: "I32", torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip


@dataclass(frozen=True)
class Staged:
    """One file's tensors on the host: its header, its data (valid until the buffer is filled again)."""

    header: bytes
    data: Tensor
    copied: torch.cuda.Event | None = None

    def write(self, path: Path) -> Entry:
        """Writes a new safetensors file and fsyncs it; its size and hash."""
        if self.copied:
            self.copied.synchronize()
        return write_chunks(path, self._chunks())

    def _chunks(self) -> Iterator[memoryview]:
        yield memoryview(self.header)
        data = memoryview(self.data.numpy())  # type: ignore[arg-type]
        for start in range(0, len(data), CHUNK_BYTES):
            yield data[start : start + CHUNK_BYTES]


class Buffer:
    """Host memory for one file, kept between saves."""

    def __init__(self) -> None:
        self._memory = torch.empty(0, dtype=torch.uint8)

    def reserve(self, size: int, pinned: bool) -> None:
        """Makes room for `size` bytes and touches them, so that the system has given them."""
        if len(self._memory) < size:
            self._memory = torch.empty(0, dtype=torch.uint8)  # frees the old before the new is made
            self._memory = torch.empty(size, dtype=torch.uint8, pin_memory=pinned).zero_()

    def stage(self, tensors: Mapping[str, Tensor], main: bool = True) -> Staged:
        """Copies this rank's parts of the tensors. Tensors that are not split belong to the main rank."""
        named = [(name, part_of(tensor)) for name, tensor in tensors.items()]
        parts = sorted(
            ((name, part) for name, part in named if (main if part.whole else part.tensor.numel())),
            key=lambda item: (-item[1].tensor.itemsize, item[0]),
        )
        header, size = _header(parts)
        on_gpu = any(part.tensor.is_cuda for _, part in parts)
        self.reserve(size, on_gpu)
        at = 0
        for _, part in parts:
            end = at + part.tensor.nbytes
            target = self._memory[at:end].view(part.tensor.dtype).view(part.tensor.shape)
            target.copy_(part.tensor, non_blocking=True)
            at = end
        return Staged(header, self._memory[:size], _recorded() if on_gpu else None)


def _header(parts: list[tuple[str, Part]]) -> tuple[bytes, int]:
    """A safetensors header, padded to whole 8 bytes, and the length of the data it describes."""
    described: dict[str, object] = {}
    rows = {name: [part.start, part.shape[0]] for name, part in parts if not part.whole}
    if rows:
        described["__metadata__"] = {ROWS: json.dumps(rows)}
    at = 0
    for name, part in parts:
        end = at + part.tensor.nbytes
        described[name] = {
            "dtype": DTYPES[part.tensor.dtype], "shape": list(part.tensor.shape), "data_offsets": [at, end],
        }  # fmt: skip
        at = end
    text = json.dumps(described, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text, at


def _recorded() -> torch.cuda.Event:
    event = torch.cuda.Event()  # type: ignore[no-untyped-call]
    event.record()
    return event
