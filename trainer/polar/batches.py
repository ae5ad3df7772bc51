"""Groups to padded token tensors: pieces are tokenised once, sequences are put together when a batch needs them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from polar.data import Index, Preferences, TokenStore, Trajectories, store_tokens
from polar.encode import RESERVED, Ids, Limits, Piece, SpecialIds, Wrapper, cut_prompt, cut_response, encode_group
from polar.pairs import Groups
from polar.tokenizer import TextEncoder


@dataclass(frozen=True, slots=True)
class Corpus:
    """All prompts and responses as tokens, each response at its final length."""

    prompts: TokenStore
    responses: TokenStore
    wrapper: list[Wrapper]  # of each response
    ids: SpecialIds
    limits: Limits

    def encode(self, groups: Groups, row: int) -> list[Ids]:
        """The token sequences of one group, one per candidate."""
        reference = self._piece(groups.reference_prompt[row], groups.reference[row])
        candidates = [self._piece(groups.candidate_prompt[row], c) for c in groups.candidates[row]]
        return encode_group(reference, candidates, self.ids, self.limits)

    def encode_pair(self, reference: tuple[int, int], candidate: tuple[int, int]) -> Ids:
        """The token sequence of one reference and one candidate, each a prompt and a response."""
        return encode_group(self._piece(*reference), [self._piece(*candidate)], self.ids, self.limits)[0]

    def count_tokens(self, groups: Groups) -> Index:
        """Corpus tokens of each group [G]: a prompt once, each trajectory once, as far as they are kept."""
        prompt_lengths, response_lengths = np.diff(self.prompts.offsets), np.diff(self.responses.offsets)
        reference, candidates = response_lengths[groups.reference], response_lengths[groups.candidates]
        budget = self.limits.max_length - RESERVED
        room = np.maximum(0, (budget - (reference + 1) - (candidates.max(axis=1) + 1)) // 2)
        kept = [_kept_prompt(prompt_lengths[p], room) for p in (groups.reference_prompt, groups.candidate_prompt)]
        second = np.where(groups.reference_prompt == groups.candidate_prompt, 0, kept[1])
        total: Index = kept[0] + second + reference + candidates.sum(axis=1)
        return total

    def _piece(self, prompt: int, response: int) -> Piece:
        return Piece(prompt=self.prompts[prompt], response=self.responses[response], wrapper=self.wrapper[response])


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """Some groups as one padded batch of B = groups * candidates sequences; `order` are their places in the batch."""

    ids_BT: Tensor
    last_B: Tensor
    order: Index
    candidates: int
    tokens: int

    def to(self, device: torch.device) -> "MicroBatch":
        """A copy on the device."""
        return MicroBatch(self.ids_BT.to(device), self.last_B.to(device), self.order, self.candidates, self.tokens)


def trajectory_corpus(data: Trajectories, encoder: TextEncoder, limits: Limits) -> Corpus:
    """Tokenise a policy pool's prompts and outputs."""
    return _corpus((data.prompts, data.outputs), data.wrapper, encoder, limits)


def preference_corpus(data: Preferences, encoder: TextEncoder, limits: Limits) -> Corpus:
    """Tokenise triplets: response 3r is row r's reference, 3r + 1 its chosen and 3r + 2 its rejected answer."""
    return _corpus((data.prompts, data.texts), [w for w in data.wrapper for _ in range(3)], encoder, limits)


def micro_batches(corpus: Corpus, groups: Groups, most_tokens: int) -> Iterator[MicroBatch]:
    """Split groups, sorted by length, into padded batches of at most `most_tokens` tokens (or one group each)."""
    encoded = [corpus.encode(groups, row) for row in range(len(groups))]
    longest = np.array([max(len(s) for s in sequences) for sequences in encoded], dtype=np.int64)
    batch: list[int] = []
    for row in np.argsort(-longest, kind="stable"):
        width = longest[batch[0]] if batch else 0
        if batch and (len(batch) + 1) * len(encoded[row]) * width > most_tokens:
            yield collate([encoded[i] for i in batch], np.array(batch), corpus.ids.pad)
            batch = []
        batch.append(int(row))
    if batch:
        yield collate([encoded[i] for i in batch], np.array(batch), corpus.ids.pad)


def collate(groups: list[list[Ids]], order: Index, pad: int) -> MicroBatch:
    """Pad on the right to the longest sequence."""
    sequences = [s for group in groups for s in group]
    lengths = np.array([len(s) for s in sequences], dtype=np.int64)
    ids = np.full((len(sequences), int(lengths.max())), pad, dtype=np.int64)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = sequence
    last = torch.from_numpy(lengths - 1)
    return MicroBatch(torch.from_numpy(ids), last, order, len(groups[0]), int(lengths.sum()))


def _corpus(texts: tuple[list[str], list[str]], wrapper: list[Wrapper], encoder: TextEncoder, limits: Limits) -> Corpus:
    prompts, responses = texts
    enough = limits.max_response_length if limits.cut_side == "right" else None
    return Corpus(
        prompts=store_tokens(encoder.encode(prompts), lambda ids: cut_prompt(ids, limits.max_length)),
        responses=store_tokens(encoder.encode(responses, enough), lambda ids: cut_response(ids, limits)),
        wrapper=wrapper,
        ids=encoder.ids,
        limits=limits,
    )


def _kept_prompt(length: Index, room: Index) -> Index:
    return np.where(length + 1 <= room, length, np.minimum(length, room))
