"""Make the demo's toy policy pool: trajectories to pre-train on, preferences to fine-tune on, triples to score."""

from __future__ import annotations

import argparse
import gzip
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from toy_language import COMMA, NO_THEME, STOP, Language, cumulative, make_policies, read_language, sample, to_text

PREFIX_SYMBOLS = (3, 6)
OUTPUT_SYMBOLS = 34  # longest output; an output ends at the first full stop from OUTPUT_AT_LEAST on
OUTPUT_AT_LEAST = 18
PREFERENCE_SHARE = 1.0  # ranked triplets per trajectory prompt
JUDGE_NOISE = 0.04
TRIPLES_TO_SCORE = 3  # ranked triplets that are in no training file


def main(argv: list[str] | None = None) -> int:
    """Run the program; returns the exit status."""
    args = parse_arguments(argv)
    try:
        counts = write_pool(args.out, args)
    except (OSError, ValueError) as error:
        print(f"toy_pool: {error}", file=sys.stderr)
        return 1
    for name, rows in counts.items():
        print(f"{rows} rows in {args.out / name}")
    return 0


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Command line to options; exits with status 2 and a message on a bad one."""
    parser = argparse.ArgumentParser(prog="toy_pool.py", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the files; made when missing")
    parser.add_argument("--seed", type=_at_least(0), default=7, help="same seed, same files (default %(default)s)")
    parser.add_argument("--policies", type=_at_least(2), default=8, help="language models (default %(default)s)")
    parser.add_argument("--prompts", type=_at_least(2), default=800, help="prefixes (default %(default)s)")
    per_prefix = "samples of each policy for each prefix; 2 or more give same-prompt positives (default %(default)s)"
    parser.add_argument("--samples-per-prefix", type=_at_least(1), default=4, help=per_prefix)
    return parser.parse_args(argv)


def _at_least(least: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.lstrip("-").isdigit() or int(text) < least:
            raise argparse.ArgumentTypeError(f"expected a whole number of at least {least}, got {text!r}")
        return int(text)

    return parse


@dataclass
class Pool:
    """The policies, ready to sample, and the one stream of randomness that everything is drawn from."""

    language: Language
    tables: np.ndarray  # [policies, S, S] cumulative
    common: np.ndarray  # [S, S] cumulative, the average policy: writes the prefixes
    rng: np.random.Generator


def make_pool(policies: int, seed: int) -> Pool:
    """Fit the policies of a seed."""
    language = read_language()
    rng = np.random.default_rng(seed)
    following = make_policies(language, policies, rng)
    return Pool(language, cumulative(following), cumulative(following.mean(axis=0)), rng)


def write_pool(out: Path, args: argparse.Namespace) -> dict[str, int]:
    """Sample the pool and write its files; returns file name -> rows. OSError or ValueError when it cannot."""
    pool = make_pool(args.policies, args.seed)
    out.mkdir(parents=True, exist_ok=True)
    triplets = max(1, round(args.prompts * PREFERENCE_SHARE))
    rows = {
        "trajectories.jsonl.gz": trajectory_rows(pool, args.prompts, args.samples_per_prefix),
        "preferences.jsonl.gz": preference_rows(pool, triplets),
        "triples.jsonl.gz": map(to_score, preference_rows(pool, TRIPLES_TO_SCORE)),
    }
    return {name: write_rows(out / name, made) for name, made in rows.items()}


def trajectory_rows(pool: Pool, prompts: int, samples: int) -> Iterator[dict[str, str]]:
    """Rows {prompt_id, prompt, policy, output}: every policy continues every prefix `samples` times."""
    prefixes = make_prefixes(pool, prompts)
    starts = np.repeat([prefix[-1] for prefix in prefixes], samples)
    drawn = [sample(table, starts, OUTPUT_SYMBOLS, pool.rng) for table in pool.tables]
    for i, prefix in enumerate(prefixes):
        prompt = to_text(pool.language, prefix).strip()
        for policy, chains in enumerate(drawn):
            for chain in chains[i * samples : (i + 1) * samples]:
                yield {
                    "prompt_id": f"prefix-{i:05d}",
                    "prompt": prompt,
                    "policy": f"toy-{policy:02d}",
                    "output": to_text(pool.language, finish(pool.language, chain)),
                }


def preference_rows(pool: Pool, count: int) -> Iterator[dict[str, list[dict[str, str]]]]:
    """Ranked triplets: three outputs for one prefix and a noisy judge that prefers text that keeps to its subject."""
    several = len(pool.tables) >= 3
    for prefix in make_prefixes(pool, count):
        writers = pool.rng.permutation(len(pool.tables))[:3] if several else pool.rng.integers(0, 2, size=3)
        chains = [sample(pool.tables[writer], prefix[-1:], OUTPUT_SYMBOLS, pool.rng)[0] for writer in writers]
        texts = [finish(pool.language, chain) for chain in chains]
        worth = [coherence(pool.language, text) for text in texts] + JUDGE_NOISE * pool.rng.standard_normal(3)
        best, middle, worst = (to_text(pool.language, texts[i]).strip() for i in np.argsort(worth)[::-1])
        yield {
            "prompt": [{"role": "user", "content": to_text(pool.language, prefix).strip()}],
            "reference": [{"role": "assistant", "content": best}],
            "chosen": [{"role": "assistant", "content": middle}],
            "rejected": [{"role": "assistant", "content": worst}],
        }


def to_score(row: Mapping[str, list[dict[str, str]]]) -> dict[str, object]:
    """A ranked triplet as a row for polar.score: the chosen candidate first."""
    texts = {key: messages[0]["content"] for key, messages in row.items()}
    return {
        "prompt": texts["prompt"],
        "reference": texts["reference"],
        "candidates": [texts["chosen"], texts["rejected"]],
    }


def make_prefixes(pool: Pool, count: int) -> list[np.ndarray]:
    """Openings of sentences by the average policy, cut after a word."""
    low, high = PREFIX_SYMBOLS
    chains = sample(pool.common, np.full(count, pool.language.block(STOP)[0]), high, pool.rng)
    lengths = pool.rng.integers(low, high + 1, size=count)
    prefixes = []
    for chain, length in zip(chains, lengths, strict=True):
        ends_in_word = pool.language.position[chain[length - 1]] < COMMA
        prefixes.append(chain[: length if ends_in_word else length - 1])
    return prefixes


def finish(language: Language, chain: np.ndarray) -> np.ndarray:
    """Cut a chain after its first full stop from OUTPUT_AT_LEAST on, as a policy ends its turn."""
    stops = np.flatnonzero(language.position[chain] == STOP)
    late = stops[stops >= OUTPUT_AT_LEAST]
    return chain[: late[0] + 1] if len(late) else chain


def coherence(language: Language, symbols: np.ndarray) -> float:
    """Share of neighbouring words that belong to one theme: the hidden quality that the judge sees with noise."""
    before, after = language.theme[symbols[:-1]], language.theme[symbols[1:]]
    pairs = (before != NO_THEME) & (after != NO_THEME)
    return float((before[pairs] == after[pairs]).mean()) if pairs.any() else 0.0


def write_rows(path: Path, rows: Iterable[Mapping[str, object]]) -> int:
    """Write JSON lines, gzipped without time stamp, to a temporary name and rename; returns the number of rows."""
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as raw:
            with gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=5) as packed:
                count = 0
                for row in rows:
                    packed.write((json.dumps(row) + "\n").encode())
                    count += 1
            raw.flush()
            os.fsync(raw.fileno())
            os.fchmod(raw.fileno(), 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return count


if __name__ == "__main__":
    sys.exit(main())
