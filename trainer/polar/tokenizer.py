"""The tokenizer of a run: read from a Hugging Face folder, trained on the corpus, or taken from a checkpoint."""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from polar.encode import REWARD, SEPARATOR, Ids, SpecialIds
from polar.errors import CheckpointError, ConfigError

PAD = "<pad>"
BOS = "<s>"
CHUNK = 1024
CHARACTERS_PER_TOKEN = 8  # generous: English is near 4
WORD_END = re.compile(r"\w(?=\s)")
PAD_NAMES = (PAD, "</s>", "<|endoftext|>", "<unk>")
BOS_NAMES = (BOS, "<|begin_of_text|>", "<|startoftext|>", "[CLS]")


class TextEncoder:
    """Texts to token ids. Special tokens written in a text stay text: `encode` never gives a reserved id."""

    def __init__(self, tokenizer: Tokenizer, source: str) -> None:
        self._tokenizer = tokenizer
        self._tokenizer.encode_special_tokens = True
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self.vocab_size = 1 + max(tokenizer.get_vocab(with_added_tokens=True).values(), default=0)  # ids may have gaps
        joiner = np.array(tokenizer.encode("\n", add_special_tokens=False).ids, dtype=np.int32)
        self.ids = SpecialIds(
            bos=_find(tokenizer, BOS_NAMES, source),
            pad=_find(tokenizer, PAD_NAMES, source),
            separator=_find(tokenizer, (SEPARATOR,), source),
            reward=_find(tokenizer, (REWARD,), source),
            joiner=joiner,
        )
        self._reserved = np.array([self.ids.bos, self.ids.pad, self.ids.separator, self.ids.reward], dtype=np.int32)

    def encode(self, texts: Iterable[str], enough: int | None = None) -> Iterator[Ids]:
        """Token ids of each text, no BOS, int32. Reserved ids that a text still produces are dropped.

        Of a text that gives more than `enough` tokens, only the first `enough` or more are returned: its rest need not
        be tokenised.
        """
        for chunk in _chunks(texts):
            heads = chunk if enough is None else [head(text, enough * CHARACTERS_PER_TOKEN) for text in chunk]
            for text, part, ids in zip(chunk, heads, self._batch(heads), strict=True):
                short = enough is not None and len(part) < len(text) and len(ids) < enough
                yield self._batch([text])[0] if short else ids

    def _batch(self, texts: list[str]) -> list[Ids]:
        found = []
        for encoding in self._tokenizer.encode_batch_fast(texts, add_special_tokens=False):
            ids = np.array(encoding.ids, dtype=np.int32)
            reserved = np.isin(ids, self._reserved)
            found.append(ids[~reserved] if reserved.any() else ids)
        return found

    def to_json(self) -> str:
        """The content of tokenizer.json."""
        return str(self._tokenizer.to_str())


def head(text: str, characters: int) -> str:
    """The beginning of a text, about `characters` long, cut where white space follows a word: no token spans that."""
    if len(text) <= characters:
        return text
    cut = WORD_END.search(text, characters)
    return text[: cut.start() + 1] if cut else text


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> TextEncoder:
    """Byte-level BPE over `texts` with at most `vocab_size` entries, special tokens included. Deterministic."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[PAD, BOS, SEPARATOR, REWARD],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return TextEncoder(tokenizer, "the trained tokenizer")


def read_tokenizer(path: Path) -> TextEncoder:
    """The tokenizer in a Hugging Face folder or file. ConfigError when it is missing or lacks a special token."""
    file = path / "tokenizer.json" if path.is_dir() else path
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"model.tokenizer.path: cannot read {file}: {error}") from error
    return _parse(text, str(file), ConfigError)


def tokenizer_from_checkpoint(text: str, checkpoint: str) -> TextEncoder:
    """The tokenizer saved in a checkpoint. CheckpointError when it cannot be used."""
    return _parse(text, f"{checkpoint}/tokenizer.json", CheckpointError)


def _parse(text: str, source: str, error_type: type[ConfigError] | type[CheckpointError]) -> TextEncoder:
    try:
        tokenizer: Any = tokenizers.Tokenizer.from_str(text)
    except Exception as error:  # the library raises plain Exception
        raise error_type(f"{source}: not a tokenizer file: {error}") from error
    try:
        return TextEncoder(tokenizer, source)
    except ValueError as error:
        raise error_type(str(error)) from error


def _find(tokenizer: Tokenizer, names: Sequence[str], source: str) -> int:
    for name in names:
        found = tokenizer.token_to_id(name)
        if found is not None:
            return int(found)
    raise ValueError(f"{source}: expected the special token {' or '.join(names)}, found none")


def _chunks(texts: Iterable[str]) -> Iterator[list[str]]:
    chunk: list[str] = []
    for text in texts:
        chunk.append(text)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
