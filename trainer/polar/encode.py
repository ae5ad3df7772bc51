"""From (prompt, reference, candidate) to the token sequence a POLAR model scores: the official text-level encoding.

    BOS {prompt}{j}{reference} <|reward|> {prompt}{j}{candidate} [UNUSED_TOKEN_130]

j is nothing for wrapper "pretrain" and a newline for wrapper "sft"; roles are dropped, there is no chat template. The
joined text is tokenised, so a token may span the joint of prompt and response.

Truncation: prompt, reference and candidates are each tokenised with BOS, cut, and decoded without special tokens; that
text is joined and tokenised again, so lengths can drift by a few tokens. The budget is max_length - 4, a response keeps
its first max_response_length tokens (its last with cut_side "left"), and a prompt its last
(budget - reference - candidate) // 2, the minimum over the candidates. BOS counts everywhere.

Where the official sources disagree the released client is the default (cut_side "right", empty_response "newline").
docs/encoding.md lists the differences, and the few texts for which this encoding is stricter than the official one.

This module is pure; tokenizer.TextEncoder tokenises. operator/src/workers/serve/encode.ts does the same.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

SEPARATOR = "<|reward|>"
REWARD = "[UNUSED_TOKEN_130]"
NESTING = 8
RESERVED = 4  # the reward token, two joiners and the separator

Wrapper = Literal["pretrain", "sft"]
Ids = npt.NDArray[np.int32]
Lengths = npt.NDArray[np.int64]


@dataclass(kw_only=True, frozen=True, slots=True)
class SpecialIds:
    """Token ids of one tokenizer."""

    bos: int
    pad: int
    separator: int
    reward: int


@dataclass(kw_only=True, frozen=True, slots=True)
class Limits:
    """Sequence limits in tokens, and the two choices on which the official sources disagree.

    `cut_side` says which end of a long response is dropped. `empty_response` says whether wrapper "sft" keeps its
    newline before a response without text ("newline", as the released client does) or not ("omit", as the official
    training code does).
    """

    max_length: int
    max_response_length: int
    cut_side: Literal["right", "left"] = "right"
    empty_response: Literal["newline", "omit"] = "newline"


@dataclass(frozen=True, slots=True)
class Text:
    """One prompt with one response."""

    prompt: str
    response: str
    wrapper: Wrapper = "sft"


@dataclass(frozen=True, slots=True, eq=False)
class EncodedRow:
    """Tokens of one joined text, its prompt whole, its response at its final length.

    `first` holds the tokens before a separator (no BOS), `second` those behind one (the same array when equal). The
    costs are the official lengths of prompt and response, BOS counted.
    """

    first: Ids
    second: Ids
    prompt_cost: int
    response_cost: int


def flatten(content: str | Sequence[dict[str, str]]) -> str:
    """Text of a prompt or response: a string as it is, or the contents of a message list joined by newlines."""
    if isinstance(content, str):
        return content
    return "\n".join(message["content"] for message in content)


def join(prompt: str, response: str, wrapper: Wrapper, limits: Limits) -> str:
    """The text of a prompt and its response."""
    if wrapper == "pretrain" or (response == "" and limits.empty_response == "omit"):
        return prompt + response
    return f"{prompt}\n{response}"


@dataclass(frozen=True, slots=True)
class Literals:
    """What finds the names of special tokens written in a text, and the characters with which names begin."""

    name: re.Pattern[str]
    start: re.Pattern[str]
    longest: int


def find_literals(names: Sequence[str]) -> Literals:
    """Patterns for these names; a name wins over a shorter one that begins it."""
    ordered = sorted(names, key=lambda name: (-len(name), name))
    name = re.compile("|".join(re.escape(name) for name in ordered))
    start = re.compile("[" + "".join(re.escape(start) for start in sorted({name[0] for name in names})) + "]")
    return Literals(name, start, longest=len(ordered[0]))


def strip_literals(text: str, literals: Literals) -> str:
    """The text without names of special tokens, also without those that appear when others are taken out.

    Names nested deeper than NESTING lose every character with which a name can begin: nobody writes such texts in good
    faith, and taking the names out one layer at a time would cost the square of their length.
    """
    for _ in range(NESTING):
        if not literals.name.search(text):
            return text
        text = literals.name.sub("", text)
    return literals.start.sub("", text) if literals.name.search(text) else text


def cut_response(response: Ids, limits: Limits) -> Ids:
    """The part of a response that is kept. The cap counts a BOS in front, which a cut on the left drops first."""
    if len(response) + 1 <= limits.max_response_length:
        return response
    if limits.cut_side == "right":
        return response[: limits.max_response_length - 1]
    return response[len(response) - limits.max_response_length :]


def response_cost(whole: int, limits: Limits) -> int:
    """Tokens that a response of `whole` tokens takes from the budget, its BOS counted."""
    return min(whole + 1, limits.max_response_length)


def cut_prompt(prompt: Ids, room: int) -> Ids:
    """The last tokens of a prompt that fit in `room`; its BOS counts and is the first to go."""
    return prompt if len(prompt) + 1 <= room else prompt[max(0, len(prompt) - room) :]


def room(reference: Lengths | int | None, candidates: Lengths, limits: Limits) -> Lengths:
    """Tokens left for a prompt, BOS counted, never negative: with a reference each of two copies gets so many.

    `reference` [...] and `candidates` [..., G] are response costs; the longest candidate of a group decides.
    """
    left = limits.max_length - RESERVED - candidates.max(axis=-1)
    found: Lengths = np.maximum(0, left if reference is None else (left - reference) // 2)
    return found


def fits(reference: EncodedRow | None, candidates: Sequence[EncodedRow], limits: Limits) -> bool:
    """Whether a group keeps its prompts whole, so that `assemble` gives what TextEncoder.encode_group gives."""
    rows = [*candidates] if reference is None else [reference, *candidates]
    costs = np.array([row.response_cost for row in candidates])
    left = int(room(None if reference is None else reference.response_cost, costs, limits))
    if any(row.prompt_cost > left for row in rows):
        return False
    if reference is None:
        return max(len(row.first) for row in candidates) + 2 <= limits.max_length
    return len(reference.first) + max(len(row.second) for row in candidates) + 3 <= limits.max_length


def assemble(reference: EncodedRow | None, candidates: Sequence[EncodedRow], ids: SpecialIds) -> list[Ids]:
    """Sequences of one reference with each candidate, int32, the reward token last. Cuts nothing.

    Without a reference (the ablation) a sequence is BOS {prompt}{j}{candidate} REWARD.
    """
    if reference is None:
        return [sequence(None, row.first, ids) for row in candidates]
    return [sequence(reference.first, row.second, ids) for row in candidates]


def sequence(reference: Ids | None, candidate: Ids, ids: SpecialIds) -> Ids:
    """One sequence from the tokens of its two texts."""
    before = () if reference is None else (reference, _one(ids.separator))
    return np.concatenate([_one(ids.bos), *before, candidate, _one(ids.reward)])


def _one(token: int) -> Ids:
    return np.array([token], dtype=np.int32)
