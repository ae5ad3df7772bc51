"""The tensors of a checkpoint as they lie in one file, or in one file per rank that saved it. Read when asked for."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from polar.errors import CheckpointError
from polar.staging import ROWS


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows `start` to `stop` of a tensor, in the file `handle`."""

    handle: Any
    start: int
    stop: int


class Stored(Mapping[str, Tensor]):
    """Tensors by name, whole. Files are mapped: reading one tensor holds that tensor in memory and no other.

    Raises CheckpointError when a file is no safetensors file or when the parts of a tensor do not make it whole.
    """

    def __init__(self, paths: Sequence[Path] = ()) -> None:
        self._pieces: dict[str, list[Piece]] = {}
        totals: dict[str, int] = {}
        for path in paths:
            for name, piece, total in _describe(path):
                self._pieces.setdefault(name, []).append(piece)
                if totals.setdefault(name, total) != total:
                    raise CheckpointError(f"{path}: {name}: expected {totals[name]} rows in all, got {total}")
        for name, pieces in self._pieces.items():
            pieces.sort(key=lambda piece: piece.start)
            ends = [0, *(piece.stop for piece in pieces)]
            if [piece.start for piece in pieces] != ends[:-1] or ends[-1] != totals[name]:
                raise CheckpointError(f"{paths[0].parent}: {name}: its parts do not make {totals[name]} rows")

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of the whole tensor, from the headers alone."""
        pieces = self._pieces[name]
        own = tuple(pieces[0].handle.get_slice(name).get_shape())
        return (pieces[-1].stop, *own[1:]) if own else own

    def rows(self, name: str, start: int, stop: int) -> Tensor:
        """Some rows, from the files that hold them."""
        found = [
            piece.handle.get_slice(name)[max(start, piece.start) - piece.start : min(stop, piece.stop) - piece.start]
            for piece in self._pieces[name]
            if piece.start < stop and start < piece.stop
        ]
        return found[0] if len(found) == 1 else torch.cat(found)

    def __getitem__(self, name: str) -> Tensor:
        pieces = self._pieces[name]
        if len(pieces) == 1:
            whole: Tensor = pieces[0].handle.get_tensor(name)
            return whole
        return self.rows(name, 0, pieces[-1].stop)

    def __iter__(self) -> Iterator[str]:
        return iter(self._pieces)

    def __len__(self) -> int:
        return len(self._pieces)


def reader(tensors: Mapping[str, Tensor], name: str) -> Callable[[int, int], Tensor]:
    """What reads some rows of a tensor."""
    if isinstance(tensors, Stored):
        return lambda start, stop: tensors.rows(name, start, stop)
    return lambda start, stop: tensors[name][start:stop]


def shape_of(tensors: Mapping[str, Tensor], name: str) -> tuple[int, ...]:
    """Shape of a tensor, which is not read for it."""
    return tensors.shape(name) if isinstance(tensors, Stored) else tuple(tensors[name].shape)


def _describe(path: Path) -> Iterator[tuple[str, Piece, int]]:
    """Name, place and total rows of every tensor in a file."""
    try:
        handle: Any = safe_open(path, "pt")
        rows = json.loads((handle.metadata() or {}).get(ROWS, "{}"))
        for name in handle.keys():  # noqa: SIM118 - the handle is no dict
            shape = handle.get_slice(name).get_shape()
            count = int(shape[0]) if shape else 1
            start, total = rows.get(name, (0, count))
            yield name, Piece(handle, int(start), int(start) + count), int(total)
    except Exception as error:  # the library's errors have no common class
        raise CheckpointError(f"{path}: not a safetensors file: {error}") from error
