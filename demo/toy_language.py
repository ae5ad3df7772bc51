"""The toy policies: small bigram language models over a shipped logbook, equal in unigrams, unlike in what follows what."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

TEXT = Path(__file__).resolve().parent / "text"
SUBJECT_ADJECTIVE, SUBJECT, ADVERB, VERB, OBJECT_ADJECTIVE, OBJECT, COMMA, STOP = range(8)
WORD_CLASS = {
    SUBJECT_ADJECTIVE: "adjective",
    SUBJECT: "noun",
    ADVERB: "adverb",
    VERB: "verb",
    OBJECT_ADJECTIVE: "adjective",
    OBJECT: "noun",
    COMMA: ",",
    STOP: ".",
}
NO_THEME = -1
TOP_K = 50
TOP_P = 0.9
RESOLUTION = 1_000_000  # probabilities are kept as integers: the same samples on every CPU

LINES_READ = 0.6  # share of the logbook that one policy is fitted to
COUNT_WEIGHT = 0.3
HABIT_STRENGTH = 1.3
COHERENCE_SPREAD = 1.2
IDIOM_STRENGTH = 0.4


@dataclass(frozen=True)
class Language:
    """The shared part: symbols (a word in a sentence position), their unigrams, the sentence grammar, the logbook."""

    words: list[str]  # [S] surface form of each symbol
    position: np.ndarray  # [S] sentence position of each symbol
    theme: np.ndarray  # [S] index of the theme, or NO_THEME for punctuation
    unigram: np.ndarray  # [S] probability within its position
    grammar: np.ndarray  # [8, 8] probability of the next position
    lines: list[list[int]]  # the logbook as symbols

    def block(self, position: int) -> np.ndarray:
        """Indices of the symbols of one sentence position."""
        return np.flatnonzero(self.position == position)


def read_language(folder: Path = TEXT) -> Language:
    """Read lexicon.json and logbook.txt; ValueError names the line and word that the lexicon does not explain."""
    lexicon = json.loads((folder / "lexicon.json").read_text(encoding="utf-8"))
    symbols = list(_symbols(lexicon))
    index = {(position, word): i for i, (position, word, _) in enumerate(symbols)}
    classes = {word: WORD_CLASS[position] for position, word, _ in symbols}
    text = (folder / "logbook.txt").read_text(encoding="utf-8").splitlines()
    lines = [_parse(line, number, classes, index) for number, line in enumerate(text, start=1)]
    position = np.array([p for p, _, _ in symbols])
    return Language(
        words=[word for _, word, _ in symbols],
        position=position,
        theme=np.array([theme for _, _, theme in symbols]),
        unigram=_unigram(symbols, lines),
        grammar=_grammar(position, lines),
        lines=lines,
    )


def _symbols(lexicon: dict[str, dict[str, list[str]]]) -> Iterator[tuple[int, str, int]]:
    for position, word_class in WORD_CLASS.items():
        if word_class in (",", "."):
            yield position, word_class, NO_THEME
            continue
        for theme, classes in enumerate(lexicon.values()):
            for word in classes[word_class]:
                yield position, word, theme


def _parse(line: str, number: int, classes: dict[str, str], index: dict[tuple[int, str], int]) -> list[int]:
    seen_verb = False
    symbols = []
    for word in line.replace(",", " ,").replace(".", " .").split():
        word_class = classes.get(word)
        if word_class is None:
            raise ValueError(f"logbook.txt line {number}: {word!r} is not in lexicon.json")
        options = [p for p, c in WORD_CLASS.items() if c == word_class]
        symbols.append(index[options[-1] if seen_verb else options[0], word])
        seen_verb = word_class == "verb" or (seen_verb and word_class not in (",", "."))
    return symbols


def _unigram(symbols: list[tuple[int, str, int]], lines: list[list[int]]) -> np.ndarray:
    counts: dict[str, int] = {}
    for line in lines:
        for symbol in line:
            word = symbols[symbol][1]
            counts[word] = counts.get(word, 0) + 1
    weight = np.array([counts.get(word, 0) + 1.0 for _, word, _ in symbols])
    position = np.array([p for p, _, _ in symbols])
    totals = np.bincount(position, weights=weight)
    return weight / totals[position]


def _grammar(position: np.ndarray, lines: list[list[int]]) -> np.ndarray:
    counts = np.zeros((8, 8))
    for line in lines:
        places = position[line]
        np.add.at(counts, (places[:-1], places[1:]), 1.0)
    counts[STOP] = counts[COMMA]  # a sentence begins as a clause does
    return counts / counts.sum(axis=1, keepdims=True)


def make_policies(language: Language, count: int, rng: np.random.Generator) -> np.ndarray:
    """Fit `count` policies; returns their next-symbol probabilities [count, S, S], nothing cut yet.

    Each policy reads its own part of the logbook and has its own habits (which theme follows which, and idioms of
    single word pairs). Its bigrams are then balanced so that every policy uses every word equally often: what tells
    policies apart is the order of words alone.
    """
    spread = np.linspace(-1.0, 1.0, count)[rng.permutation(count)] if count > 1 else np.zeros(1)
    return np.stack([_policy(language, coherence * COHERENCE_SPREAD, rng) for coherence in spread])


def _policy(language: Language, coherence: float, rng: np.random.Generator) -> np.ndarray:
    size = len(language.words)
    themes = int(language.theme.max()) + 1
    habit = HABIT_STRENGTH * rng.standard_normal((themes, themes))
    np.fill_diagonal(habit, 0.5 * habit.diagonal() + coherence)
    tilt = habit[language.theme][:, language.theme] + IDIOM_STRENGTH * rng.standard_normal((size, size))
    tilt[language.theme == NO_THEME] = 0.0
    tilt[:, language.theme == NO_THEME] = 0.0
    read = rng.permutation(len(language.lines))[: max(1, round(LINES_READ * len(language.lines)))]
    counts = np.zeros((size, size))
    for i in read:
        line = language.lines[i]
        np.add.at(counts, (line[:-1], line[1:]), 1.0)
    following = np.zeros((size, size))
    for before, after in zip(*np.nonzero(language.grammar), strict=True):
        rows, columns = language.block(int(before)), language.block(int(after))
        block = np.ix_(rows, columns)
        expected = np.outer(language.unigram[rows], language.unigram[columns])
        joint = (expected + COUNT_WEIGHT * counts[block] / max(1.0, counts[block].sum())) * np.exp(tilt[block])
        balanced = _balance(joint, language.unigram[rows], language.unigram[columns])
        following[block] = language.grammar[before, after] * balanced / language.unigram[rows][:, None]
    return following


def _balance(joint: np.ndarray, row_sums: np.ndarray, column_sums: np.ndarray) -> np.ndarray:
    """Scale rows and columns until the joint has these marginals (Sinkhorn), rows exactly."""
    for _ in range(200):
        joint = joint * (column_sums / joint.sum(axis=0))
        joint = joint * (row_sums / joint.sum(axis=1))[:, None]
    return joint


def cumulative(following: np.ndarray) -> np.ndarray:
    """Cut to top-k 50 and top-p 0.9 (temperature 1.0); returns integer cumulative tables [..., S, S]."""
    order = np.argsort(-following, axis=-1, kind="stable")
    ranked = np.take_along_axis(following, order, axis=-1)
    before = np.cumsum(ranked, axis=-1) - ranked
    kept = np.where((np.arange(ranked.shape[-1]) < TOP_K) & (before < TOP_P), ranked, 0.0)
    cut = np.zeros_like(following)
    np.put_along_axis(cut, order, kept, axis=-1)
    sums = np.cumsum(cut, axis=-1)
    return np.round(RESOLUTION * sums / sums[..., -1:]).astype(np.int32)


def sample(table: np.ndarray, start: np.ndarray, steps: int, rng: np.random.Generator) -> np.ndarray:
    """Continue each chain of `start` [n] by `steps` symbols with one policy's table [S, S]; returns [n, steps]."""
    chains = np.empty((len(start), steps), dtype=np.int64)
    now = start
    for step in range(steps):
        draw = rng.integers(0, RESOLUTION, size=len(now))
        now = (table[now] <= draw[:, None]).sum(axis=1)
        chains[:, step] = now
    return chains


def to_text(language: Language, symbols: np.ndarray) -> str:
    """Symbols as text: words preceded by one space, punctuation by none."""
    return "".join(w if w in ",." else " " + w for w in (language.words[s] for s in symbols))
