"""From (prompt, reference, candidate) to the token sequence a POLAR model scores. Pure: token ids in, token ids out.

    BOS {prompt}{j}{reference} <|reward|> {prompt}{j}{candidate} [UNUSED_TOKEN_130]

j is nothing for wrapper "pretrain" and a newline for wrapper "sft"; roles are dropped, there is no chat template.

Truncation follows the official training code, whose lengths count the BOS that its tokenizer puts before every piece:
the budget is max_length - 4, a response keeps its first max_response_length - 1 tokens (cut side "right"), and the
prompt keeps its last (budget - len(reference) - len(candidate)) // 2 tokens, the minimum over the group's candidates.

Where this differs from the released client: that one cuts, decodes, joins the texts and tokenises the result again;
here the pieces are tokenised once and joined as ids. The two agree unless a token spans a joint (a response that starts
in the middle of a word, or with blank lines) or decoding a cut piece does not survive re-encoding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

SEPARATOR = "<|reward|>"
REWARD = "[UNUSED_TOKEN_130]"
RESERVED = 4  # the reward token, two joiners and the separator

Wrapper = Literal["pretrain", "sft"]
Ids = npt.NDArray[np.int32]


@dataclass(kw_only=True, frozen=True, slots=True)
class SpecialIds:
    """Token ids of one tokenizer. `joiner` is the newline of wrapper "sft", normally one token."""

    bos: int
    pad: int
    separator: int
    reward: int
    joiner: Ids


@dataclass(kw_only=True, frozen=True, slots=True)
class Limits:
    """Sequence limits in tokens; `cut_side` says which end of a long response is dropped."""

    max_length: int
    max_response_length: int
    cut_side: Literal["right", "left"] = "right"


@dataclass(kw_only=True, frozen=True, slots=True)
class Piece:
    """One prompt with one response, tokenised without special tokens."""

    prompt: Ids
    response: Ids
    wrapper: Wrapper


def flatten(content: str | Sequence[dict[str, str]]) -> str:
    """Text of a prompt or response: a string as it is, or the contents of a message list joined by newlines."""
    if isinstance(content, str):
        return content
    return "\n".join(message["content"] for message in content)


def cut_response(response: Ids, limits: Limits) -> Ids:
    """The part of a response that is kept. The cap counts a BOS in front, which a cut on the left drops first."""
    if len(response) + 1 <= limits.max_response_length:
        return response
    if limits.cut_side == "right":
        return response[: limits.max_response_length - 1]
    return response[len(response) - limits.max_response_length :]


def response_cost(kept: int, whole: int, limits: Limits) -> int:
    """Tokens a response takes from the budget: what is kept of it, and its BOS unless the cut removed that."""
    return kept + 1 if kept == whole or limits.cut_side == "right" else kept


def prompt_room(reference_cost: int, candidate_costs: Sequence[int], limits: Limits) -> int:
    """Tokens left for each of the two prompts, BOS counted; the longest candidate decides. Never negative."""
    budget = limits.max_length - RESERVED
    return max(0, (budget - reference_cost - max(candidate_costs)) // 2)


def cut_prompt(prompt: Ids, room: int) -> Ids:
    """The last tokens of a prompt that fit in `room`; its BOS counts and is the first to go."""
    return prompt if len(prompt) + 1 <= room else prompt[max(0, len(prompt) - room) :]


def encode_group(reference: Piece, candidates: Sequence[Piece], ids: SpecialIds, limits: Limits) -> list[Ids]:
    """Sequences of one reference with each candidate, cut by common limits (paper section 3.3, official tokenize_ref).

    The candidates may answer another prompt than the reference (cross-prompt pairs); they share one prompt.
    Returns one int32 array per candidate, at most max_length long, the reward token last.
    """
    kept = cut_response(reference.response, limits)
    outs = [cut_response(c.response, limits) for c in candidates]
    costs = [response_cost(len(o), len(c.response), limits) for o, c in zip(outs, candidates, strict=True)]
    room = prompt_room(response_cost(len(kept), len(reference.response), limits), costs, limits)
    head = np.concatenate([_one(ids.bos), *_join(reference, kept, room, ids), _one(ids.separator)])
    tail = _one(ids.reward)
    return [
        np.concatenate([head, *_join(candidate, out, room, ids), tail])
        for candidate, out in zip(candidates, outs, strict=True)
    ]


def _join(piece: Piece, response: Ids, room: int, ids: SpecialIds) -> list[Ids]:
    parts = [cut_prompt(piece.prompt, room)]
    if piece.wrapper == "sft" and len(response) > 0:
        parts.append(ids.joiner)
    parts.append(response)
    return parts


def _one(token: int) -> Ids:
    return np.array([token], dtype=np.int32)
