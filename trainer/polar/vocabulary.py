"""A vocabulary of the run's own, trained on a sample of its training rows."""

from collections.abc import Iterator

from polar.data import Rows
from polar.tokenizer import TextEncoder, train_tokenizer

CHARACTERS = 10_000_000  # of prompts, and as many of outputs, about


def train_on_rows(data: Rows, vocab_size: int) -> TextEncoder:
    """Byte-level BPE over the prompts and texts of the training part; of many, every so many-th."""
    rows = data.parts["training"]
    return train_tokenizer(_sample(data, rows), vocab_size)


def _sample(data: Rows, rows: range) -> Iterator[str]:
    every = max(1, data.texts.size_of(rows) // CHARACTERS)
    known = -1
    for row in rows[::every]:
        prompt = int(data.prompt[row])
        if prompt != known:
            yield data.prompts[prompt]
        known = prompt
        for part in range(data.per_row):
            yield data.texts[data.per_row * row + part]
