"""The golden encodings are what the official code gives, wherever it defines one."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from official_code import run_official

FOLDER = Path(__file__).parents[3] / "testdata/encoding"
TOKENIZERS = ("bytelevel", "nfkc", "metaspace", "internlm2")
EMPTY = ("", "<s>", "<|reward|>", "<|reward|><|reward|>")
Pairs = list[tuple[dict[str, Any], dict[str, Any]]]


@pytest.fixture(scope="module")
def all_pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pairs]:
    """Every golden case that has a reference and one prompt, with what the official code gives for it."""
    given = []
    for name in TOKENIZERS:
        folder = tmp_path_factory.mktemp(name)
        shutil.copy(FOLDER / name / "tokenizer.json", folder)
        options = json.loads((FOLDER / name / "tokenizer_config.json").read_text())
        options["tokenizer_class"] = "PreTrainedTokenizerFast"
        (folder / "tokenizer_config.json").write_text(json.dumps(options))
        cases = json.loads((FOLDER / name / "cases.json").read_text())
        given.append({"folder": str(folder), "cases": [case for case in cases if defined_officially(case)]})
    found = run_official("encode", given)
    pairs = [list(zip(one["cases"], official, strict=True)) for one, official in zip(given, found, strict=True)]
    return dict(zip(TOKENIZERS, pairs, strict=True))


@pytest.fixture(params=TOKENIZERS)
def pairs(request: pytest.FixtureRequest, all_pairs: dict[str, Pairs]) -> Pairs:
    return all_pairs[request.param]


def defined_officially(case: dict[str, Any]) -> bool:
    return case["reference"] is not None and "candidatePrompt" not in case


def has_empty_response(case: dict[str, Any]) -> bool:
    """Whether a response is empty once it is cut and decoded."""
    responses = (case["reference"], *case["candidates"])
    return case["limits"]["maxResponseLength"] == 1 or any(
        isinstance(text, str) and text.strip(" ") in EMPTY for text in responses
    )


def assert_same(ours: list[list[int]], official: list[list[int]], case: dict[str, Any]) -> None:
    """Equal, except that ours respects max_length where the official code exceeds it."""
    most = case["limits"]["maxLength"]
    if max(map(len, official)) > most:
        assert max(map(len, ours)) <= most, case["name"]
    else:
        assert ours == official, case["name"]


def test_each_candidate_alone_is_encoded_as_the_released_client_does(pairs: Pairs) -> None:
    compared = 0
    for case, official in pairs:
        if case.get("stricter") or (case["limits"]["emptyResponse"] == "omit" and has_empty_response(case)):
            continue
        for ours, theirs in zip(case.get("each", case["group"]), official["client"], strict=True):
            assert_same([ours], [theirs], case)
            compared += len(theirs) <= case["limits"]["maxLength"]
    assert compared > 200


def test_a_pair_is_encoded_as_the_official_training_code_does(pairs: Pairs) -> None:
    compared = 0
    for case, official in pairs:
        limits = case["limits"]
        if case.get("stricter") or limits["cutSide"] == "left" or len(case["candidates"]) > 2:
            continue
        if limits["emptyResponse"] == "newline" and has_empty_response(case):
            continue
        assert_same([case["group"][0], case["group"][-1]], official["training"], case)
        compared += max(map(len, official["training"])) <= limits["maxLength"]
    assert compared > 80


def test_only_texts_that_bring_special_tokens_into_the_official_sequence_are_encoded_otherwise(pairs: Pairs) -> None:
    differing = 0
    for case, official in pairs:
        if not case.get("stricter"):
            continue
        ours = case.get("each", case["group"])
        specials = {ours[0][0], ours[0][-1], *separators(ours)}
        assert all(sum(token in specials for token in ids) == 3 for ids in ours), case["name"]
        differing += ours != official["client"]
        for mine, other in zip(ours, official["client"], strict=True):
            assert mine == other or sum(token in specials for token in other) > 3, case["name"]
    assert differing > 0


def separators(sequences: list[list[int]]) -> set[int]:
    """The one token that all sequences have once, beside the first and the last."""
    common = set.intersection(*(set(ids[1:-1]) for ids in sequences))
    return {min(common)}
