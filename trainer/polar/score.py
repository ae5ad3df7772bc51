"""Score candidates with a trained checkpoint.

    python -m polar.score --checkpoint DIR --prompt P --reference R --candidate C [--candidate C ...]
    python -m polar.score --checkpoint DIR --jsonl FILE        (- reads standard input)

Rows are {"prompt", "reference", "candidate" or "candidates", "wrapper"?}; texts may be message lists. One JSON object
per row is printed: {"score": x} or {"scores": [...]}. Higher means closer to the policy that wrote the reference.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from polar import checkpoint
from polar.encode import Limits, Piece, Wrapper, encode_group
from polar.errors import CheckpointError, ConfigError, DataError, PolarError
from polar.model import RewardModel, build
from polar.packing import pack
from polar.rows import Problems, Row, parse_lines
from polar.state import architecture_of, load_weights
from polar.texts import WRAPPERS, read_text_field
from polar.tokenizer import TextEncoder, tokenizer_from_checkpoint


class Scorer:
    """A checkpoint ready to score. Raises CheckpointError when it cannot be used."""

    def __init__(self, path: Path, device: torch.device) -> None:
        loaded = checkpoint.load(path, model_only=True)
        arch, vocab_size = architecture_of(loaded)
        self._encoder: TextEncoder = tokenizer_from_checkpoint(loaded.tokenizer_json, str(path))
        self._model: RewardModel = build(arch, vocab_size, dropout=0.0, seed=0)
        load_weights(self._model, loaded)
        self._model.to(device).eval()
        self._device = device
        self.limits, self.wrapper = _trained_with(loaded)

    @torch.no_grad()
    def scores(self, prompt: str, reference: str, candidates: list[str], wrapper: Wrapper) -> list[float]:
        """One score per candidate; every candidate is scored as if it were alone."""
        prompt_ids, reference_ids, *candidate_ids = self._encoder.encode([prompt, reference, *candidates])
        first = Piece(prompt=prompt_ids, response=reference_ids, wrapper=wrapper)
        group = [
            encode_group(
                first, [Piece(prompt=prompt_ids, response=ids, wrapper=wrapper)], self._encoder.ids, self.limits
            )[0]
            for ids in candidate_ids
        ]
        scores: list[float] = self._model(pack([group], np.arange(1)).to(self._device)).tolist()
        return scores


def _trained_with(loaded: checkpoint.Loaded) -> tuple[Limits, Wrapper]:
    data = loaded.config.get("data", {})
    try:
        limits = Limits(max_length=int(data["maxLength"]), max_response_length=int(data["maxResponseLength"]))
        return limits, cast(Wrapper, data["wrapper"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{loaded.info.path}/config.json: data: expected lengths and wrapper: {error}") from error


def score_rows(scorer: Scorer, rows: Iterable[Row], wrapper: Wrapper | None) -> Iterator[dict[str, Any]]:
    """Results in the order of the rows. DataError names the row, the key, what was expected and what was got."""
    for row in rows:
        try:
            yield _score_row(scorer, row.values, wrapper or scorer.wrapper)
        except ValueError as error:
            raise DataError(f"{row.where()}: {error}") from error


def _score_row(scorer: Scorer, values: Any, wrapper: Wrapper) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise ValueError("expected an object with keys prompt, reference and candidate or candidates")
    own = values.get("wrapper") or wrapper
    if own not in WRAPPERS:
        raise ValueError(f"wrapper: expected {' or '.join(WRAPPERS)}, got {own!r}")
    prompt, reference = (read_text_field(values, key) for key in ("prompt", "reference"))
    if "candidates" not in values:
        return {"score": scorer.scores(prompt, reference, [read_text_field(values, "candidate")], own)[0]}
    candidates = values["candidates"]
    if not isinstance(candidates, list) or not candidates:
        raise ValueError(f"candidates: expected a list with at least one candidate, got {candidates!r}"[:200])
    texts = [read_text_field({"candidates": candidate}, "candidates") for candidate in candidates]
    return {"scores": scorer.scores(prompt, reference, texts, own)}


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
    parser.add_argument("--checkpoint", type=Path, required=True, help="a step-... directory")
    parser.add_argument("--jsonl", help="file of rows, or - for standard input")
    parser.add_argument("--prompt")
    parser.add_argument("--reference")
    parser.add_argument("--candidate", action="append")
    parser.add_argument("--wrapper", choices=WRAPPERS, help="for rows without one; the checkpoint's when not given")
    options = parser.parse_args(argv)
    given = [options.prompt is not None, options.reference is not None, bool(options.candidate)]
    if options.jsonl is None and not all(given):
        parser.error("expected --jsonl, or --prompt, --reference and --candidate")
    return options


def _rows(options: argparse.Namespace) -> Iterator[Row]:
    if options.jsonl is None:
        values = {"prompt": options.prompt, "reference": options.reference, "candidates": options.candidate}
        yield Row(Path("command line"), 1, values)
        return
    problems = Problems()
    if options.jsonl == "-":
        yield from parse_lines(sys.stdin.buffer, Path("standard input"), problems)
    else:
        try:
            with open(options.jsonl, "rb") as lines:
                yield from parse_lines(lines, Path(options.jsonl), problems)
        except OSError as error:
            raise ConfigError(f"{options.jsonl}: cannot read: {error.strerror}") from error
    problems.raise_if_any()


if __name__ == "__main__":
    sys.exit(main())
