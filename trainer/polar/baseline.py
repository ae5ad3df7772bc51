"""The baseline every accuracy is read against: unigrams, length and style of reference and candidate, no model.

A candidate is scored linearly from how far its features lie from the reference's; the weights are fitted on training
pairs as a Bradley-Terry model, that is a logistic regression on (positive's vector - negative's vector) without
intercept. A trained reward model that does not beat it has learned surface style only.

    python -m polar.baseline < {"train": [[reference, positive, negative], ...], "sets": {name: [...], ...}}

prints the accuracy on each set as JSON.
"""

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Vector: TypeAlias = NDArray[np.float64]
PairText: TypeAlias = tuple[str, str, str]  # reference, positive (chosen), negative (rejected)

_WORD = re.compile(r"\w+(?:['’]\w+)*")  # noqa: RUF001
_SENTENCE = re.compile(r"[.!?]+(?:\s|$)")
_PHRASES = (
    "as an ai",
    "language model",
    "i'm sorry",
    "i apologize",
    "certainly",
    "sure",
    "of course",
    "great question",
    "here is",
    "here are",
    "i hope",
    "let me know",
    "feel free",
    "in conclusion",
    "overall",
    "however",
    "it's important to",
    "it is important to",
)


def _per_word(pattern: str) -> Callable[[str, list[str]], float]:
    compiled = re.compile(pattern, re.MULTILINE)
    return lambda text, words: len(compiled.findall(text)) / max(1, len(words))


def _share(pattern: str) -> Callable[[str, list[str]], float]:
    compiled = re.compile(pattern)
    return lambda text, words: len(compiled.findall(text)) / max(1, len(text))


def _log_count(pattern: str) -> Callable[[str, list[str]], float]:
    compiled = re.compile(pattern, re.MULTILINE)
    return lambda text, words: float(np.log1p(len(compiled.findall(text))))


def _has(pattern: str) -> Callable[[str, list[str]], float]:
    compiled = re.compile(pattern, re.IGNORECASE)
    return lambda text, words: float(bool(compiled.search(text)))


def _word_length(text: str, words: list[str]) -> float:
    return float(np.mean([len(w) for w in words])) if words else 0.0


def _distinct(text: str, words: list[str]) -> float:
    return len({w.lower() for w in words}) / max(1, len(words))


def _sentence_length(text: str, words: list[str]) -> float:
    return float(np.log1p(len(words) / max(1, len(_SENTENCE.findall(text)))))


FEATURES: dict[str, Callable[[str, list[str]], float]] = (
    {
        "log characters": lambda text, words: float(np.log1p(len(text))),
        "log words": lambda text, words: float(np.log1p(len(words))),
        "mean word length": _word_length,
        "distinct words": _distinct,
        "words per sentence": _sentence_length,
        "log lines": _log_count(r"^.*\S.*$"),
        "log paragraphs": _log_count(r"\n\s*\n"),
        "commas": _per_word(r","),
        "full stops": _per_word(r"\."),
        "colons": _per_word(r":"),
        "semicolons": _per_word(r";"),
        "question marks": _per_word(r"\?"),
        "exclamation marks": _per_word(r"!"),
        "quotes": _per_word(r"[\"“”]"),
        "brackets": _per_word(r"[()\[\]]"),
        "dashes": _per_word(r"[–—]| - "),  # noqa: RUF001
        "apostrophes": _per_word(r"['’]"),  # noqa: RUF001
        "bold": _log_count(r"\*\*[^*\n]+\*\*"),
        "headings": _log_count(r"^#{1,6} "),
        "bullets": _log_count(r"^[^\S\n]*[-*•] "),
        "numbered items": _log_count(r"^[^\S\n]*\d+[.)] "),
        "code fences": _log_count(r"```"),
        "table rows": _log_count(r"^[^\S\n]*\|"),
        "upper case": _share(r"[A-Z]"),
        "digits": _share(r"\d"),
        "white space": _share(r"\s"),
        "not ASCII": _share(r"[^\x00-\x7f]"),
        "first person": _per_word(r"\b(?:I|I'm|I've|I'll|my|me)\b"),
        "ends in full stop": _has(r"[.!?][\"'”’)]?\s*$"),  # noqa: RUF001
        "starts upper case": lambda text, words: float(text.lstrip()[:1].isupper()),
        "starts with a space": lambda text, words: float(text[:1].isspace()),
    }
    | {phrase: _has(r"\b" + re.escape(phrase) + r"\b") for phrase in _PHRASES}
)


def style_features(text: str) -> Vector:
    """Length, words, punctuation, markdown, stock phrases and character classes of one text: [len(FEATURES)]."""
    words = _WORD.findall(text)
    return np.array([feature(text, words) for feature in FEATURES.values()], dtype=np.float64)


@dataclass(frozen=True)
class _Profile:
    """What the baseline keeps of one text."""

    style: Vector
    words: Counter[str]
    norm: float


def _profile(text: str) -> _Profile:
    words = Counter(word.lower() for word in _WORD.findall(text))
    return _Profile(style_features(text), words, float(np.sqrt(sum(n * n for n in words.values()))))


@dataclass(frozen=True)
class Baseline:
    """Fitted weights over the standardised features of (reference, candidate)."""

    weights: Vector
    scale: Vector
    rarity: dict[str, float]
    unseen_rarity: float

    def accuracy(self, pairs: Sequence[PairText]) -> float:
        """Share of pairs whose positive scores above its negative; a tie counts one half. ValueError when empty."""
        if not pairs:
            raise ValueError("the baseline needs at least one pair to be measured on, got none")
        margin = (_differences(pairs, self.rarity, self.unseen_rarity) / self.scale) @ self.weights
        return float(np.mean((margin > 0) + 0.5 * (margin == 0)))


def fit_baseline(train: Sequence[PairText], l2: float = 1e-3) -> Baseline:
    """Fit on training pairs (reference, positive, negative); ValueError when there are none.

    `l2` is the ridge penalty on the standardised weights.
    """
    if not train:
        raise ValueError("the baseline needs at least one training pair, got none")
    rarity, unseen = _rarity(train)
    raw = _differences(train, rarity, unseen)
    scale = np.maximum(np.sqrt(np.mean(raw**2, axis=0)), 1e-9)
    return Baseline(_logistic(raw / scale, l2), scale, rarity, unseen)


def _rarity(train: Sequence[PairText]) -> tuple[dict[str, float], float]:
    """Inverse document frequency of each word over the training texts, and that of a word never seen."""
    texts = {text for pair in train for text in pair}
    documents: Counter[str] = Counter()
    for text in texts:
        documents.update({word.lower() for word in _WORD.findall(text)})
    count = len(texts)
    rarity = {word: float(np.log((1 + count) / (1 + n)) + 1) for word, n in documents.items()}
    return rarity, float(np.log(1 + count) + 1)


def _differences(pairs: Sequence[PairText], rarity: dict[str, float], unseen: float) -> Vector:
    """Positive's vector minus negative's, one row per pair."""
    profiles = {text: _profile(text) for pair in pairs for text in pair}

    def row(pair: PairText) -> Vector:
        reference, positive, negative = (profiles[text] for text in pair)
        return _nearness(reference, positive, rarity, unseen) - _nearness(reference, negative, rarity, unseen)

    return np.stack([row(pair) for pair in pairs])


def _nearness(reference: _Profile, candidate: _Profile, rarity: dict[str, float], unseen: float) -> Vector:
    """Style distances, the candidate's own style, and unigram overlap with the reference."""
    shared = reference.words.keys() & candidate.words.keys()
    either = reference.words.keys() | candidate.words.keys()
    cosine = sum(reference.words[w] * candidate.words[w] for w in shared) / max(1e-9, reference.norm * candidate.norm)
    jaccard = len(shared) / max(1, len(either))
    rare = sum(rarity.get(w, unseen) for w in shared) / max(1e-9, sum(rarity.get(w, unseen) for w in either))
    likelihood = _unigram_log_likelihood(reference, candidate)
    overlap = np.array([cosine, jaccard, rare, likelihood])
    return np.concatenate([np.abs(reference.style - candidate.style), candidate.style, overlap])


def _unigram_log_likelihood(reference: _Profile, candidate: _Profile) -> float:
    """Mean log probability of the candidate's words under the reference's add-one unigrams."""
    total = sum(reference.words.values()) + len(reference.words) + 1
    words = sum(candidate.words.values())
    logs = (n * math.log((reference.words[w] + 1) / total) for w, n in candidate.words.items())
    return sum(logs) / max(1, words)


def _logistic(rows: Vector, l2: float) -> Vector:
    """Newton's method for the ridge logistic loss of `rows @ weights > 0`."""
    weights = np.zeros(rows.shape[1])
    for _ in range(25):
        wrong = 1 / (1 + np.exp(np.clip(rows @ weights, -30, 30)))
        gradient = -rows.T @ wrong / len(rows) + l2 * weights
        curvature = (rows * (wrong * (1 - wrong))[:, None]).T @ rows / len(rows) + l2 * np.eye(rows.shape[1])
        step = np.linalg.solve(curvature, gradient)
        weights = weights - step
        if float(np.abs(step).max()) < 1e-6:
            break
    return weights


def main() -> None:
    """Fit on the training pairs on standard input and print the accuracy on each set; gives way to other processes."""
    os.nice(10)
    given = json.load(sys.stdin)
    baseline = fit_baseline([(r, p, n) for r, p, n in given["train"]])
    sets: dict[str, list[list[str]]] = given["sets"]
    print(json.dumps({name: baseline.accuracy([(r, p, n) for r, p, n in rows]) for name, rows in sets.items()}))


if __name__ == "__main__":
    main()
