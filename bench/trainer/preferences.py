"""Real preference triplets as token sequences, when the file is there: it is not part of the project."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
from polar.encode import Ids, Limits, Text, flatten
from polar.tokenizer import train_tokenizer

from sizes import Size

FILE = Path(__file__).parents[3] / "shared" / "data" / "preferences.jsonl.gz"
SEED = 13
LIMITS = Limits(max_length=16_384, max_response_length=4096)
COLUMNS = ("reference", "chosen", "rejected")


def sequences(size: Size) -> list[list[Ids]]:
    """The pairs of `size.pairs` triplets drawn by a seed, tokenised by a tokenizer trained on all of them.

    FileNotFoundError when the file is absent.
    """
    with gzip.open(FILE, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    encoder = train_tokenizer((text for row in rows for text in _texts(row)), size.vocab_size)
    chosen = np.random.Generator(np.random.PCG64(SEED)).permutation(len(rows))[: size.pairs]
    return [encoder.encode_group(reference, pair, LIMITS) for reference, *pair in (_row(rows[i]) for i in chosen)]


def _row(row: dict[str, Any]) -> list[Text]:
    prompt = flatten(row["prompt"])
    return [Text(prompt, flatten(row[name])) for name in COLUMNS]


def _texts(row: dict[str, Any]) -> list[str]:
    return [flatten(row[name]) for name in ("prompt", *COLUMNS)]
