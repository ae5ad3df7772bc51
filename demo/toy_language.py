"""The toy policies: small language models over a shipped logbook, alike in words and unlike in their order."""

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
SCHOOLS = 3
FAVOUR_STRENGTH = 0.15  # words a policy likes: the only trait that a bag of words sees
ROLE_STRENGTH = 2.2  # words it likes as subject rather than object
HABIT_STRENGTH = 2.2  # themes it lets follow each other
COHERENCE_STRENGTH = 1.2  # themes it lets follow themselves


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


@dataclass(frozen=True)
class Schools:
    """Schools of writing: the directions in which policies differ, each a table of log odds."""

    favour: np.ndarray  # [SCHOOLS, S] words used more often; the same for both roles of a word
    role: np.ndarray  # [SCHOOLS, S] words used rather in this position
    pair: np.ndarray  # [SCHOOLS, S, S] what follows what


def make_policies(language: Language, count: int, rng: np.random.Generator) -> np.ndarray:
    """Fit `count` policies; returns their next-symbol probabilities [count, S, S], nothing cut yet.

    Each policy reads its own part of the logbook and is its own mixture of the schools of writing: slightly favoured
    words, the role in which it uses a word (subject or object, balanced so that the word is not more frequent for it),
    and which theme follows which. Sentence shape, length and punctuation are the same for all.
    """
    schools = _schools(language, rng)
    mixtures = _spread(count, rng)
    return np.stack([_policy(language, schools, mixture, rng) for mixture in mixtures])


def _spread(count: int, rng: np.random.Generator) -> np.ndarray:
    """Mixtures far from each other [count, SCHOOLS], each of length sqrt(SCHOOLS)."""
    options = rng.standard_normal((32 * count, SCHOOLS))
    options *= np.sqrt(SCHOOLS) / np.linalg.norm(options, axis=1, keepdims=True)
    chosen = [0]
    for _ in range(count - 1):
        nearest = np.min([np.linalg.norm(options - options[i], axis=1) for i in chosen], axis=0)
        chosen.append(int(np.argmax(np.round(nearest, 9))))
    return options[chosen]


def _schools(language: Language, rng: np.random.Generator) -> Schools:
    size, themes = len(language.words), int(language.theme.max()) + 1
    favour = np.zeros((SCHOOLS, size))
    for word in sorted(set(language.words)):
        same = [i for i, other in enumerate(language.words) if other == word]
        favour[:, same] = FAVOUR_STRENGTH * rng.standard_normal((SCHOOLS, 1))
    habit = HABIT_STRENGTH * rng.standard_normal((SCHOOLS, themes, themes))
    habit[0] += COHERENCE_STRENGTH * np.eye(themes)
    pair = habit[:, language.theme][:, :, language.theme]
    pair[:, language.theme == NO_THEME] = 0.0
    pair[:, :, language.theme == NO_THEME] = 0.0
    scale = 1 / np.sqrt(SCHOOLS)
    return Schools(scale * favour, scale * ROLE_STRENGTH * rng.standard_normal((SCHOOLS, size)), scale * pair)


def _policy(language: Language, schools: Schools, mixture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    unigram = _own_unigram(language, schools, mixture)
    tilt = np.exp(np.tensordot(mixture, schools.pair, axes=1))
    counts = _read_pairs(language, rng)
    following = np.zeros_like(tilt)
    for before, after in zip(*np.nonzero(language.grammar), strict=True):
        rows, columns = language.block(int(before)), language.block(int(after))
        block = np.ix_(rows, columns)
        expected = np.outer(unigram[rows], unigram[columns])
        joint = (expected + COUNT_WEIGHT * counts[block] / max(1.0, counts[block].sum())) * tilt[block]
        balanced = _balance(joint, unigram[rows], unigram[columns])
        following[block] = language.grammar[before, after] * balanced / unigram[rows][:, None]
    return following


def _own_unigram(language: Language, schools: Schools, mixture: np.ndarray) -> np.ndarray:
    """The policy's probability of each symbol within its position [S]."""
    unigram = language.unigram.copy()
    favour, role = np.exp(mixture @ schools.favour), np.exp(mixture @ schools.role)
    for places in ((SUBJECT_ADJECTIVE, OBJECT_ADJECTIVE), (SUBJECT, OBJECT), (ADVERB,), (VERB,)):
        blocks = np.stack([language.block(place) for place in places])
        words = unigram[blocks[0]] * favour[blocks[0]]
        words /= words.sum()
        roles = _balance(words * role[blocks], np.full(len(places), 1 / len(places)), words)
        unigram[blocks] = len(places) * roles
    return unigram


def _read_pairs(language: Language, rng: np.random.Generator) -> np.ndarray:
    """Neighbour counts [S, S] over the lines of the logbook that the policy happens to read."""
    counts = np.zeros((len(language.words), len(language.words)))
    for i in rng.permutation(len(language.lines))[: round(LINES_READ * len(language.lines))]:
        line = language.lines[i]
        np.add.at(counts, (line[:-1], line[1:]), 1.0)
    return counts


def _balance(joint: np.ndarray, row_sums: np.ndarray, column_sums: np.ndarray) -> np.ndarray:
    """Scale rows and columns until the joint has these marginals (Sinkhorn), rows exactly."""
    for _ in range(200):
        joint = joint * (column_sums / joint.sum(axis=0))
        joint = joint * (row_sums / joint.sum(axis=1))[:, None]
    return joint


def cumulative(following: np.ndarray) -> np.ndarray:
    """What is sampled from: integer cumulative tables [..., S, S] of the cut probabilities."""
    sums = np.cumsum(_cut(following), axis=-1)
    return np.round(RESOLUTION * sums / sums[..., -1:]).astype(np.int32)


def _cut(following: np.ndarray) -> np.ndarray:
    """Cut to top-k 50 and top-p 0.9 at temperature 1.0; rows no longer sum to one."""
    order = np.argsort(-np.round(following, 9), axis=-1, kind="stable")
    ranked = np.take_along_axis(following, order, axis=-1)
    before = np.cumsum(ranked, axis=-1) - ranked
    kept = np.where((np.arange(ranked.shape[-1]) < TOP_K) & (np.round(before, 9) < TOP_P), ranked, 0.0)
    cut = np.zeros_like(following)
    np.put_along_axis(cut, order, kept, axis=-1)
    return cut


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
