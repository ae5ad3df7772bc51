"""The tokenizer of a run: read from a Hugging Face folder, trained on the corpus, or taken from a checkpoint."""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import tokenizers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from polar.encode import (
    REWARD,
    SEPARATOR,
    EncodedRow,
    Ids,
    Limits,
    Text,
    assemble,
    cut_prompt,
    cut_response,
    find_literals,
    fits,
    join,
    response_cost,
    room,
    sequence,
    strip_literals,
)
from polar.errors import CheckpointError, ConfigError
from polar.internlm2_tokenizer import read_internlm2
from polar.special_tokens import BOS, PAD, find_special_ids, make_it_add_bos, special_names

CHUNK = 1024
Item = TypeVar("Item")
CHARACTERS_PER_TOKEN = 8  # generous: English is near 4
WORD_END = re.compile(r"\w(?=\s)")
BEGINNINGS = ("a", " a", "\na", "\n", "  ", "1", ".", "\u00e9", "\u65e5")


class TextEncoder:
    """Texts to token sequences, by the official text-level encoding (see encode.py).

    Special tokens written in a text are taken out of it, so that no text can bring in a separator or a reward token.
    """

    def __init__(self, tokenizer: Tokenizer, source: str) -> None:
        self._tokenizer = tokenizer
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self.vocab_size = 1 + max(tokenizer.get_vocab(with_added_tokens=True).values(), default=0)  # ids may have gaps
        self.ids = find_special_ids(tokenizer, source)
        make_it_add_bos(tokenizer, self.ids.bos)
        state = b"" if tokenizer.pre_tokenizer is None else tokenizer.pre_tokenizer.__getstate__()
        self._cuttable = b'"use_regex":true' in state or b'"Split"' in state  # else a token may span the end of a word
        self._literals = find_literals(special_names(tokenizer))
        pairs = zip(self._tokens(BEGINNINGS), self._behind(BEGINNINGS), strict=True)
        self._same_behind = all(np.array_equal(first, second) for first, second in pairs)

    def encode_rows(self, texts: Iterable[Text], limits: Limits) -> Iterator[EncodedRow]:
        """The tokens of each text alone, prompts whole, responses cut to max_response_length. Batched."""
        for chunk in _chunks(texts):
            prompts = dict.fromkeys(text.prompt for text in chunk)
            prompt_ids = dict(zip(prompts, self._tokens([*prompts]), strict=True))
            whole = dict(zip(prompts, self._texts([*prompt_ids.values()]), strict=True))
            kept, costs = self._responses([text.response for text in chunk], limits)
            joined = self._joined(chunk, [whole[text.prompt] for text in chunk], kept, limits)
            first, second = self._both(joined)
            for row, text in enumerate(chunk):
                cost = len(prompt_ids[text.prompt]) + 1
                yield EncodedRow(first[row], second[row], prompt_cost=cost, response_cost=costs[row])

    def encode_group(self, reference: Text | None, candidates: Sequence[Text], limits: Limits) -> list[Ids]:
        """Sequences of one reference with each candidate, cut as far as needed (official tokenize_ref).

        The candidates may answer another prompt than the reference. Without a reference (the ablation) a sequence is
        BOS {prompt}{j}{candidate} REWARD. Returns one int32 array per candidate, the reward token last, none longer
        than max_length.
        """
        group = [*candidates] if reference is None else [reference, *candidates]
        prompts = self._tokens([text.prompt for text in group])
        kept, costs = self._responses([text.response for text in group], limits)
        first_cost, candidate_costs = (None, costs) if reference is None else (costs[0], costs[1:])
        left = int(room(first_cost, np.array(candidate_costs), limits))
        while True:
            cut = self._texts([cut_prompt(prompt, left) for prompt in prompts])
            joined = self._joined(group, cut, kept, limits)
            sequences = self._sequences(joined, reference is not None)
            excess = max(len(found) for found in sequences) - limits.max_length
            if excess <= 0:
                return sequences
            if left == 0:
                return self._sequences(joined, reference is not None, limits.max_length)
            left = max(0, left - max(1, excess // 6))  # tokenised again, a cut text can be longer, at worst three times

    def encode_each(self, reference: Text | None, candidates: Sequence[Text], limits: Limits) -> list[Ids]:
        """Sequences of one reference with each candidate, each as if it were alone (released client)."""
        rows = [*self.encode_rows(candidates if reference is None else [reference, *candidates], limits)]
        first = None if reference is None else rows.pop(0)
        return [
            assemble(first, [row], self.ids)[0]
            if fits(first, [row], limits)
            else self.encode_group(reference, [text], limits)[0]
            for row, text in zip(rows, candidates, strict=True)
        ]

    def to_json(self) -> str:
        """The content of tokenizer.json. Whoever tokenises with it gets the BOS in front."""
        return str(self._tokenizer.to_str())

    def _sequences(self, joined: list[str], referenced: bool, most: int | None = None) -> list[Ids]:
        """The sequences of joined texts. `most` cuts them to that length, whatever it takes."""
        if not referenced:
            end = None if most is None else most - 2
            return [sequence(None, ids[:end], self.ids) for ids in self._tokens(joined)]
        end = None if most is None else (most - 3) // 2
        first = self._tokens(joined[:1])[0][:end]
        return [sequence(first, ids[:end], self.ids) for ids in self._behind(joined[1:])]

    def _joined(self, texts: Sequence[Text], prompts: list[str], responses: list[str], limits: Limits) -> list[str]:
        """Prompts and responses joined. A name of a special token that only the joint makes is taken out as well."""
        found = []
        for text, prompt, response in zip(texts, prompts, responses, strict=True):
            joined = join(prompt, response, text.wrapper, limits)
            border = len(joined) - len(response)
            around = joined[max(0, border - self._literals.longest) : border + self._literals.longest]
            found.append(strip_literals(joined, self._literals) if self._literals.name.search(around) else joined)
        return found

    def _responses(self, responses: list[str], limits: Limits) -> tuple[list[str], list[int]]:
        """Each response at its final length as text, and its cost."""
        enough = limits.max_response_length if limits.cut_side == "right" and self._cuttable else None
        tokens = self._tokens(responses, enough)
        kept = self._texts([cut_response(ids, limits) for ids in tokens])
        return kept, [response_cost(len(ids), limits) for ids in tokens]

    def _texts(self, tokens: list[Ids]) -> list[str]:
        """The official way back: decoded without special tokens."""
        decoded = self._tokenizer.decode_batch([ids.tolist() for ids in tokens], skip_special_tokens=True)
        return [strip_literals(text, self._literals) for text in decoded]

    def _both(self, texts: Sequence[str]) -> tuple[list[Ids], list[Ids]]:
        """The tokens of texts at the beginning and behind a separator."""
        first = self._tokens(texts)
        return first, first if self._same_behind else self._behind(texts)

    def _behind(self, texts: Sequence[str]) -> list[Ids]:
        return [ids[1:] for ids in self._tokens([SEPARATOR + text for text in texts])]

    def _tokens(self, texts: Sequence[str], enough: int | None = None) -> list[Ids]:
        """Token ids without BOS. Of a text that gives more than `enough`, only the first `enough` or more are found."""
        heads = [*texts] if enough is None else [head(text, enough * CHARACTERS_PER_TOKEN) for text in texts]
        found = []
        encodings = self._tokenizer.encode_batch_fast(heads, add_special_tokens=False)
        for text, part, encoding in zip(texts, heads, encodings, strict=True):
            ids = encoding.ids
            if enough is not None and len(part) < len(text) and len(ids) < enough:
                ids = self._tokenizer.encode(text, add_special_tokens=False).ids
            found.append(np.array(ids, dtype=np.int32))
        return found


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
    """The tokenizer in a Hugging Face folder or file: tokenizer.json, or tokenizer.model as InternLM2 folders have it.

    ConfigError when it is missing or lacks a special token.
    """
    file = path / "tokenizer.json" if path.is_dir() else path
    try:
        if not file.exists() and (path / "tokenizer.model").exists():
            return TextEncoder(read_internlm2(path), str(path))
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"model.tokenizer.path: cannot read {file}: {error}") from error
    except ValueError as error:
        raise ConfigError(f"model.tokenizer.path: {error}") from error
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


def _chunks(texts: Iterable[Item]) -> Iterator[list[Item]]:
    chunk: list[Item] = []
    for text in texts:
        chunk.append(text)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
