"""The tokenizer that pre-training starts with, which may be one trained on a sample of its training rows."""

from collections.abc import Iterator
from pathlib import Path

from polar.config import RunConfig
from polar.data import Rows
from polar.distributed import Dist
from polar.start import Start
from polar.tokenizer import TextEncoder, read_tokenizer, tokenizer_from_checkpoint, train_tokenizer

CHARACTERS = 10_000_000  # of prompts, and as many of outputs, about


def make_encoder(config: RunConfig, start: Start, data: Rows, dist: Dist) -> TextEncoder:
    """The tokenizer: a checkpoint's, a given folder's, or one trained on the training rows (by rank 0, sent to all)."""
    if start.weights:
        return tokenizer_from_checkpoint(start.weights.tokenizer_json, start.weights.where)
    source = config.model.tokenizer
    assert source is not None
    if source.path:
        return read_tokenizer(Path(source.path))
    assert source.vocab_size is not None
    text = train_on_rows(data, source.vocab_size).to_json() if dist.is_main else ""
    return tokenizer_from_checkpoint(dist.broadcast(text), "the trained tokenizer")


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
