"""The token sequences that both sides train on, and the file that carries them."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

import lengths
from sizes import Size

Ids = npt.NDArray[np.int32]
PAD, BOS, SEPARATOR, REWARD = 0, 1, 2, 3
FIRST_TEXT_ID = 4
SEED = 11


def paper_like(size: Size, candidates: int) -> list[list[Ids]]:
    """Random tokens of the committed lengths: `candidates` sequences per group that share prompt and reference."""
    random = np.random.Generator(np.random.PCG64(SEED))
    groups = []
    for row in lengths.read(size.pairs, size.scale):
        draw = lambda count: random.integers(FIRST_TEXT_ID, size.vocab_size, count, dtype=np.int32)  # noqa: E731
        prompt, reference = draw(row.prompt), draw(row.reference)
        head = [_one(BOS), prompt, reference, _one(SEPARATOR), prompt]
        tails = [draw(count) for count in row.candidates]
        groups.append([np.concatenate([*head, tail, _one(REWARD)]) for tail in tails[:candidates]])
    return groups


def save(path: Path, groups: list[list[Ids]]) -> None:
    """Write groups with equally many candidates."""
    sequences = [s for group in groups for s in group]
    offsets = np.cumsum([0, *(len(s) for s in sequences)], dtype=np.int64)
    np.savez(path, ids=np.concatenate(sequences), offsets=offsets, candidates=np.int64(len(groups[0])))


def load(path: Path) -> list[list[Ids]]:
    """Read what `save` wrote."""
    with np.load(path, allow_pickle=False) as file:
        sequences = np.split(file["ids"], file["offsets"][1:-1])
        count = int(file["candidates"])
    return [sequences[i : i + count] for i in range(0, len(sequences), count)]


def _one(token: int) -> Ids:
    return np.array([token], dtype=np.int32)
