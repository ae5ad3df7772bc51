"""The tokens of groups: every row is tokenised once, into mapped files, and sequences are put together from those."""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from polar.data import Rows
from polar.encode import EncodedRow, Ids, Lengths, Limits, SpecialIds, Text, assemble, fits, room
from polar.pairs import Groups
from polar.sampling import Index
from polar.store import DataStore, Work, info_of, map_file, open_at, table
from polar.tokenizer import TextEncoder

SPANS = "spans.i64"
FIRST, SECOND, COSTS, SPAN_COLUMNS = 0, 2, 4, 6  # columns: start and stop of each, cost of prompt and response
CHUNK_ROWS, CHUNK_CHARACTERS = 1024, 1 << 21
ALIGNMENT = 4096  # responses: ranks write whole pages of the spans


@dataclass(frozen=True, slots=True)
class Corpus:
    """All responses as tokens, each joined to its prompt and at its final length; `spans` say where they are.

    Of `tokens`, one file for each rank that made them, file n has responses n * per_shard and following. A group whose
    prompt has to be cut is tokenised from its texts. Without `reference` it is left out of sequences.
    """

    data: Rows
    encoder: TextEncoder
    limits: Limits
    reference: bool
    tokens: list[Ids]
    per_shard: int
    spans: Index

    @property
    def ids(self) -> SpecialIds:
        """The tokenizer's special ids."""
        return self.encoder.ids

    def encode(self, groups: Groups, row: int) -> list[Ids]:
        """The token sequences of one group, one per candidate."""
        reference = int(groups.reference[row]) if self.reference else None
        return self._sequences(reference, groups.candidates[row].tolist())

    def encode_all(self, groups: Groups) -> list[list[Ids]]:
        """The token sequences of every group."""
        return [self.encode(groups, row) for row in range(len(groups))]

    def encode_pair(self, reference: int, candidate: int) -> Ids:
        """The token sequence of two responses."""
        return self._sequences(reference, [candidate])[0]

    def response_length(self, response: int) -> int:
        """Tokens of a response by itself, as far as it is kept."""
        return int(self.spans[response, COSTS + 1]) - 1

    def count_tokens(self, groups: Groups) -> Index:
        """Corpus tokens of each group [G]: a prompt once, each trajectory once, as far as they are kept."""
        costs = self.spans[:, COSTS:]
        reference, candidates = costs[groups.reference], costs[groups.candidates]
        left = room(reference[:, 1] if self.reference else None, candidates[:, :, 1], self.limits)
        total: Index = _kept(candidates[:, 0, 0], left) + (candidates[:, :, 1] - 1).sum(axis=1)
        if self.reference:
            apart = groups.reference_prompt != groups.candidate_prompt
            total = total + reference[:, 1] - 1 + np.where(apart, _kept(reference[:, 0], left), 0)
        return total

    def _sequences(self, reference: int | None, candidates: list[int]) -> list[Ids]:
        row = None if reference is None else self._row(reference)
        rows = [self._row(candidate) for candidate in candidates]
        if fits(row, rows, self.limits):
            return assemble(row, rows, self.ids)
        text = None if reference is None else text_of(self.data, reference)
        return self.encoder.encode_group(text, [text_of(self.data, c) for c in candidates], self.limits)

    def _row(self, response: int) -> EncodedRow:
        span, tokens = self.spans[response].tolist(), self.tokens[response // self.per_shard]
        first, second = (tokens[span[at] : span[at + 1]] for at in (FIRST, SECOND))
        return EncodedRow(first, second, prompt_cost=span[COSTS], response_cost=span[COSTS + 1])


def make_corpus(data: Rows, encoder: TextEncoder, limits: Limits, store: DataStore, *, reference: bool) -> Corpus:
    """The tokens of all rows, which are made unless they are there. Collective."""

    def key() -> dict[str, Any]:
        tokenizer = hashlib.sha256(encoder.to_json().encode()).hexdigest()
        kept = [limits.max_length, limits.max_response_length, limits.cut_side, limits.empty_response]
        return {"rows": data.name, "tokenizer": tokenizer, "limits": kept}

    folder = store.ready("tokens", key, lambda folder: _tokenise(folder, store.shard, data, encoder, limits))
    info = info_of(folder)
    tokens = [map_file(folder / _shard(shard), np.dtype(np.int32)) for shard in range(info["shards"])]
    return Corpus(data, encoder, limits, reference, tokens, info["perShard"], table(folder / SPANS, SPAN_COLUMNS))


def text_of(data: Rows, response: int) -> Text:
    """A response with its prompt."""
    row = response // data.per_row
    return Text(data.prompts[data.prompt[row]], data.texts[response], data.wrapper_of(row))


def _tokenise(
    folder: Path, shard: tuple[int, int], data: Rows, encoder: TextEncoder, limits: Limits
) -> Work[dict[str, Any]]:
    """Every rank tokenises a run of the responses and writes its part of the spans, which are of known size."""
    rank, shards = shard
    per_shard = ALIGNMENT * math.ceil(len(data.texts) / shards / ALIGNMENT)
    own = range(len(data.texts))[rank * per_shard : (rank + 1) * per_shard]
    done = written = 0
    with (folder / _shard(rank)).open("xb") as tokens, open_at(folder / SPANS, own.start * SPAN_COLUMNS * 8) as spans:
        for texts in _chunks(data, own):
            rows = [_droppable(row, limits) for row in encoder.encode_rows(texts, limits)]
            written = _write(tokens, spans, rows, written)
            done += len(rows)
            yield f"tokenised {done} of {len(own)} texts, {written} tokens"
    return {"shards": shards, "perShard": per_shard}


def _shard(number: int) -> str:
    return f"tokens-{number:05d}.i32"


def _droppable(row: EncodedRow, limits: Limits) -> EncodedRow:
    """Without tokens when its prompt has to be cut in every group."""
    if row.prompt_cost <= int(room(None, np.array([row.response_cost]), limits)):
        return row
    nothing = row.first[:0]
    return EncodedRow(nothing, nothing, row.prompt_cost, row.response_cost)


def _write(tokens: BinaryIO, spans: BinaryIO, rows: list[EncodedRow], written: int) -> int:
    table: list[tuple[int, ...]] = []
    parts: list[Ids] = []
    for row in rows:
        first = (written, written + len(row.first))
        second = first if row.second is row.first else (first[1], first[1] + len(row.second))
        parts += [row.first] if second is first else [row.first, row.second]
        table.append((*first, *second, row.prompt_cost, row.response_cost))
        written = second[1]
    tokens.write(np.concatenate(parts).tobytes())
    spans.write(np.array(table, dtype=np.int64).tobytes())
    return written


def _chunks(data: Rows, responses: range) -> Iterator[list[Text]]:
    chunk: list[Text] = []
    characters = 0
    for response in responses:
        chunk.append(text_of(data, response))
        characters += len(chunk[-1].prompt) + len(chunk[-1].response)
        if len(chunk) == CHUNK_ROWS or characters > CHUNK_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


def _kept(cost: Lengths, left: Lengths) -> Lengths:
    """Tokens that are kept of prompts, without BOS."""
    return np.where(cost <= left, cost - 1, np.minimum(cost - 1, left))
