"""The committed lengths: prompts of 1-1024 tokens and continuations of 1-4096, uniform, as the paper draws them.

`python bench/trainer/lengths.py` writes lengths.csv again, the same bytes every time.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

FILE = Path(__file__).with_name("lengths.csv")
SEED = 20260507
ROWS = 256
LONGEST_PROMPT = 1024
LONGEST_CONTINUATION = 4096
COLUMNS = ("prompt", "reference", "positive", "negative1", "negative2", "negative3", "negative4")


@dataclass(frozen=True, slots=True)
class Lengths:
    """Tokens of one group: its prompt, its reference and its candidates, the positive first."""

    prompt: int
    reference: int
    candidates: tuple[int, ...]


def read(rows: int, scale: int) -> list[Lengths]:
    """The first `rows` groups with every length divided by `scale`, rounded up."""
    with FILE.open(newline="") as file:
        table = [[-(-int(row[name]) // scale) for name in COLUMNS] for row in csv.DictReader(file)]
    if rows > len(table):
        raise ValueError(f"{FILE.name}: expected at least {rows} rows, found {len(table)}")
    return [Lengths(prompt, reference, tuple(rest)) for prompt, reference, *rest in table[:rows]]


def write() -> None:
    """Draw the lengths."""
    random = np.random.Generator(np.random.PCG64(SEED))
    prompts = random.integers(1, LONGEST_PROMPT, size=(ROWS, 1), endpoint=True)
    continuations = random.integers(1, LONGEST_CONTINUATION, size=(ROWS, len(COLUMNS) - 1), endpoint=True)
    with FILE.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(np.concatenate([prompts, continuations], axis=1).tolist())


if __name__ == "__main__":
    write()
