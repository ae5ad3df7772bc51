"""Policy pools in memory for tests of splits and pairing."""

import numpy as np

from polar.data import Source, Trajectories


def pool(samples: list[list[int]]) -> Trajectories:
    """A pool in which policy q answered prompt p `samples[p][q]` times; outputs are named after their place."""
    cells = [(p, q, s) for p, row in enumerate(samples) for q, count in enumerate(row) for s in range(count)]
    return Trajectories(
        prompt_ids=[f"p{p}" for p in range(len(samples))],
        prompts=[f"prompt {p}" for p in range(len(samples))],
        policies=[f"q{q}" for q in range(len(samples[0]))],
        prompt=np.array([p for p, _, _ in cells], dtype=np.int64),
        policy=np.array([q for _, q, _ in cells], dtype=np.int64),
        wrapper=["pretrain"] * len(cells),
        outputs=[f"{p}/{q}/{s}" for p, q, s in cells],
        source=Source(files=["pool"], file=np.zeros(len(cells), np.int64), line=np.arange(1, len(cells) + 1)),
        skipped_empty=0,
        skipped_repeated=0,
    )


def all_rows(data: Trajectories) -> np.ndarray:
    """Every row number."""
    return np.arange(len(data.outputs))
