"""The tokens of groups: pieces are tokenised once, sequences are put together when a batch needs them."""

from dataclasses import dataclass

import numpy as np

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

    def encode_all(self, groups: Groups) -> list[list[Ids]]:
        """The token sequences of every group."""
        return [self.encode(groups, row) for row in range(len(groups))]

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


def trajectory_corpus(data: Trajectories, encoder: TextEncoder, limits: Limits) -> Corpus:
    """Tokenise a policy pool's prompts and outputs."""
    return _corpus((data.prompts, data.outputs), data.wrapper, encoder, limits)


def preference_corpus(data: Preferences, encoder: TextEncoder, limits: Limits) -> Corpus:
    """Tokenise triplets: response 3r is row r's reference, 3r + 1 its chosen and 3r + 2 its rejected answer."""
    return _corpus((data.prompts, data.texts), [w for w in data.wrapper for _ in range(3)], encoder, limits)


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
