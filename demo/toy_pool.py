"""Make the demo's toy policy pool: trajectories to pre-train on and ranked preferences to fine-tune on."""

from __future__ import annotations

import argparse
import gzip
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from toy_language import COMMA, NO_THEME, STOP, Language, cumulative, make_policies, read_language, sample, to_text

PREFIX_SYMBOLS = (4, 9)
OUTPUT_SYMBOLS = 56  # longest output; an output ends at the first full stop from symbol 32 on
OUTPUT_AT_LEAST = 32
PREFERENCE_SHARE = 0.5  # ranked triplets per trajectory prompt
JUDGE_NOISE = 0.04


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
    parser.add_argument("--out", type=Path, required=True, help="folder for the two files; made when missing")
    parser.add_argument("--seed", type=_at_least(0), default=7, help="same seed, same files (default %(default)s)")
    parser.add_argument("--policies", type=_at_least(2), default=8, help="language models in the pool (default %(default)s)")
    parser.add_argument("--prompts", type=_at_least(2), default=800, help="prefixes, each continued by every policy (default %(default)s)")
    parser.add_argument("--samples-per-prefix", type=_at_least(1), default=4, help="samples per policy and prefix; 2 or more give same-prompt positives (default %(default)s)")
    return parser.parse_args(argv)


def _at_least(least: int):
    def parse(text: str) -> int:
        if not text.lstrip("-").isdigit() or int(text) < least:
            raise argparse.ArgumentTypeError(f"expected a whole number of at least {least}, got {text!r}")
        return int(text)

    return parse


def write_pool(out: Path, args: argparse.Namespace) -> dict[str, int]:
    """Sample the pool and write both files; returns file name -> rows. OSError or ValueError when it cannot."""
    language = read_language()
    rng = np.random.default_rng(args.seed)
    following = make_policies(language, args.policies, rng)
    tables = cumulative(following)
    common = cumulative(following.mean(axis=0))
    out.mkdir(parents=True, exist_ok=True)
    trajectories = trajectory_rows(language, tables, common, args, rng)
    preferences = preference_rows(language, tables, common, round(args.prompts * PREFERENCE_SHARE), rng)
    return {
        "trajectories.jsonl.gz": write_rows(out / "trajectories.jsonl.gz", trajectories),
        "preferences.jsonl.gz": write_rows(out / "preferences.jsonl.gz", preferences),
    }


def trajectory_rows(language: Language, tables: np.ndarray, common: np.ndarray, args: argparse.Namespace, rng: np.random.Generator) -> Iterator[dict]:
    """Rows {prompt_id, prompt, policy, output}: every policy continues every prefix, several times."""
    prefixes = make_prefixes(language, common, args.prompts, rng)
    last = np.array([prefix[-1] for prefix in prefixes])
    samples = args.samples_per_prefix
    drawn = [sample(table, np.repeat(last, samples), OUTPUT_SYMBOLS, rng) for table in tables]
    for i, prefix in enumerate(prefixes):
        prompt = to_text(language, prefix).strip()
        for policy, chains in enumerate(drawn):
            for chain in chains[i * samples : (i + 1) * samples]:
                output = to_text(language, finish(language, chain))
                yield {"prompt_id": f"prefix-{i:05d}", "prompt": prompt, "policy": f"toy-{policy:02d}", "output": output}


def preference_rows(language: Language, tables: np.ndarray, common: np.ndarray, count: int, rng: np.random.Generator) -> Iterator[dict]:
    """Ranked triplets: three policies continue one prefix and a noisy judge prefers text that keeps to its subject."""
    for prefix in make_prefixes(language, common, count, rng):
        chosen = rng.permutation(len(tables))[:3]
        chosen = chosen if len(chosen) == 3 else rng.integers(0, len(tables), size=3)
        texts = [finish(language, sample(tables[p], prefix[-1:], OUTPUT_SYMBOLS, rng)[0]) for p in chosen]
        noise = JUDGE_NOISE * rng.standard_normal(3)
        worth = [coherence(language, text) + n for text, n in zip(texts, noise, strict=True)]
        best, middle, worst = (to_text(language, texts[i]) for i in np.argsort(worth)[::-1])
        yield {
            "prompt": [{"role": "user", "content": to_text(language, prefix).strip()}],
            "reference": [{"role": "assistant", "content": best.strip()}],
            "chosen": [{"role": "assistant", "content": middle.strip()}],
            "rejected": [{"role": "assistant", "content": worst.strip()}],
        }


def make_prefixes(language: Language, common: np.ndarray, count: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Openings of sentences by the average of all policies, cut after a word."""
    low, high = PREFIX_SYMBOLS
    start = np.full(count, language.block(STOP)[0])
    chains = sample(common, start, high + 1, rng)
    lengths = rng.integers(low, high + 1, size=count)
    prefixes = []
    for chain, length in zip(chains, lengths, strict=True):
        ends_in_word = language.position[chain[length - 1]] < COMMA
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


def write_rows(path: Path, rows: Iterable[dict]) -> int:
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
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return count


if __name__ == "__main__":
    sys.exit(main())
