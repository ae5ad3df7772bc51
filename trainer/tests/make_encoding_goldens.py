"""Makes the golden encodings of testdata/encoding anew.

    trainer/.venv/bin/python trainer/tests/make_encoding_goldens.py

The suite official compares them with the official code, test_encoding_goldens.py and encode.test.ts with ours.
"""

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from encoding_cases import Case, cases

from polar.encode import Limits, Text, flatten
from polar.tokenizer import TextEncoder, read_tokenizer

FOLDER = Path(__file__).parents[2] / "testdata/encoding"
TOKENIZERS = ("bytelevel", "nfkc", "metaspace", "internlm2")


def limits_of(case: Case) -> Limits:
    """The limits of a case."""
    given = case["limits"]
    return Limits(
        max_length=given["maxLength"],
        max_response_length=given["maxResponseLength"],
        cut_side=given["cutSide"],
        empty_response=given["emptyResponse"],
    )


def texts_of(case: Case) -> tuple[Text | None, list[Text]]:
    """Reference and candidates of a case."""
    prompt, wrapper = flatten(case["prompt"]), case["wrapper"]
    other = flatten(case.get("candidatePrompt", case["prompt"]))
    reference = None if case["reference"] is None else Text(prompt, flatten(case["reference"]), wrapper)
    return reference, [Text(other, flatten(candidate), wrapper) for candidate in case["candidates"]]


def encoded(encoder: TextEncoder, case: Case) -> dict[str, Any]:
    """The token sequences of a case: of the group, and of each candidate as if it were alone when that differs."""
    reference, candidates = texts_of(case)
    group, each = (
        [ids.tolist() for ids in encode(reference, candidates, limits_of(case))]
        for encode in (encoder.encode_group, encoder.encode_each)
    )
    return {"group": group} | ({} if each == group else {"each": each})


def render(name: str) -> str:
    """The goldens of one tokenizer, one case per line."""
    encoder = read_tokenizer(FOLDER / name)
    lines = [
        json.dumps({**case, **encoded(encoder, case)}, ensure_ascii=True, separators=(",", ":"))
        for case in cases(encoder, seed=TOKENIZERS.index(name))
    ]
    return "[\n" + ",\n".join(lines) + "\n]\n"


if __name__ == "__main__":
    for name in TOKENIZERS:
        (FOLDER / name / "cases.json").write_text(render(name))
