"""Score candidates with a trained checkpoint.

    python -m polar.score --checkpoint DIR --prompt P --reference R --candidate C [--candidate C ...]
    python -m polar.score --checkpoint DIR --jsonl FILE        (- reads standard input)

Rows are {"prompt", "reference", "candidate" or "candidates", "wrapper"?}; texts may be message lists. One JSON object
per row is printed: {"score": x} or {"scores": [...]}. Higher means closer to the policy that wrote the reference. DIR
is a checkpoint of a run or a Hugging Face folder. A model trained without references ignores them.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch

from polar.encode import Text
from polar.errors import ConfigError, DataError, PolarError
from polar.rows import Problems, Row, parse_lines
from polar.scorer import Scorer
from polar.texts import WRAPPERS, read_text_field


def score_rows(scorer: Scorer, rows: Iterable[Row], wrapper: str | None) -> Iterator[dict[str, Any]]:
    """Results in the order of the rows. DataError names the row, the key, what was expected and what was got."""
    for row in rows:
        try:
            yield _score_row(scorer, row.values, wrapper or scorer.reading.wrapper)
        except ValueError as error:
            raise DataError(f"{row.where()}: {error}") from error


def _score_row(scorer: Scorer, values: Any, wrapper: str) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise ValueError("expected an object with keys prompt, reference and candidate or candidates")
    own = values.get("wrapper") or wrapper
    if own not in WRAPPERS:
        raise ValueError(f"wrapper: expected {' or '.join(WRAPPERS)}, got {own!r}")
    prompt = read_text_field(values, "prompt")
    reference = None
    if scorer.reading.reference:
        reference = Text(prompt, read_text_field(values, "reference"), own)
    if "candidates" not in values:
        candidate = Text(prompt, read_text_field(values, "candidate"), own)
        return {"score": scorer.scores(reference, [candidate])[0]}
    candidates = values["candidates"]
    if not isinstance(candidates, list) or not candidates:
        raise ValueError(f"candidates: expected a list with at least one candidate, got {candidates!r}"[:200])
    texts = [Text(prompt, read_text_field({"candidates": candidate}, "candidates"), own) for candidate in candidates]
    return {"scores": scorer.scores(reference, texts)}


def main(argv: list[str] | None = None) -> int:
    """Run the program; returns the exit status."""
    options = _parse(argv)
    try:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        scorer = Scorer(options.checkpoint, device)
        for result in score_rows(scorer, _rows(options), options.wrapper):
            print(json.dumps(result), flush=True)
    except PolarError as error:
        print(f"score: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="polar.score", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, required=True, help="a step-... directory, or a Hugging Face folder")
    parser.add_argument("--jsonl", help="file of rows, or - for standard input")
    parser.add_argument("--prompt")
    parser.add_argument("--reference")
    parser.add_argument("--candidate", action="append")
    parser.add_argument("--wrapper", choices=WRAPPERS, help="for rows without one; the checkpoint's when not given")
    options = parser.parse_args(argv)
    given = [options.prompt is not None, bool(options.candidate)]
    if options.jsonl is None and not all(given):
        parser.error("expected --jsonl, or --prompt, --reference and --candidate")
    return options


def _rows(options: argparse.Namespace) -> Iterator[Row]:
    if options.jsonl is None:
        values = {"prompt": options.prompt, "candidates": options.candidate}
        if options.reference is not None:
            values["reference"] = options.reference
        yield Row(Path("command line"), 1, values)
        return
    problems = Problems()
    for row in _lines(options.jsonl, problems):
        problems.raise_if_any()  # a line that was left out would shift every result after it
        yield row
    problems.raise_if_any()


def _lines(source: str, problems: Problems) -> Iterator[Row]:
    if source == "-":
        yield from parse_lines(sys.stdin.buffer, Path("standard input"), problems)
        return
    try:
        with open(source, "rb") as lines:
            yield from parse_lines(lines, Path(source), problems)
    except OSError as error:
        raise ConfigError(f"{source}: cannot read: {error.strerror}") from error


if __name__ == "__main__":
    sys.exit(main())
