"""The demo's toy policy pool, run as the program a user runs."""

from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from polar.baseline import PairText, fit_baseline

PROGRAM = Path(__file__).resolve().parents[2] / "demo" / "toy_pool.py"
FILES = ("trajectories.jsonl.gz", "preferences.jsonl.gz", "triples.jsonl.gz")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(PROGRAM), *arguments], capture_output=True, text=True, check=False)


def make(out: Path, *arguments: str) -> Path:
    done = run("--out", str(out), *arguments)
    assert done.returncode == 0, done.stderr
    return out


def rows(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("pool"), "--prompts", "150")


def test_every_policy_continues_every_prefix_several_times(pool: Path) -> None:
    written = Counter((row["prompt_id"], row["policy"]) for row in rows(pool / FILES[0]))
    assert len({policy for _, policy in written}) == 8
    assert len({prompt for prompt, _ in written}) == 150
    assert set(written.values()) == {4}


def test_samples_of_one_policy_for_one_prefix_differ(pool: Path) -> None:
    trajectories = rows(pool / FILES[0])
    assert len({row["output"] for row in trajectories}) > 0.99 * len(trajectories)


def test_a_prompt_id_names_one_prompt_and_rows_hold_the_four_columns_alone(pool: Path) -> None:
    trajectories = rows(pool / FILES[0])
    assert {tuple(row) for row in trajectories} == {("prompt_id", "prompt", "policy", "output")}
    assert len({(row["prompt_id"], row["prompt"]) for row in trajectories}) == 150
    assert all(row["prompt"] and row["prompt"].strip() == row["prompt"] and row["output"] for row in trajectories)


def test_preferences_have_the_form_that_fine_tuning_reads(pool: Path) -> None:
    triplets = rows(pool / FILES[1])
    assert len(triplets) == 150
    for row in triplets:
        assert tuple(row) == ("prompt", "reference", "chosen", "rejected")
        assert [message["role"] for message in row["prompt"]] == ["user"]
        answers = [row[name][0]["content"] for name in ("reference", "chosen", "rejected")]
        assert all(answers) and len(set(answers)) == 3


def test_triples_to_score_are_not_among_the_preferences(pool: Path) -> None:
    trained_on = {row["reference"][0]["content"] for row in rows(pool / FILES[1])}
    triples = rows(pool / FILES[2])
    assert len(triples) == 3
    for row in triples:
        assert tuple(row) == ("prompt", "reference", "candidates")
        assert len(row["candidates"]) == 2 and row["reference"] not in trained_on


def test_policies_write_at_the_same_length_with_the_same_punctuation(pool: Path) -> None:
    lengths: dict[str, list[int]] = {}
    marks: dict[str, list[float]] = {}
    for row in rows(pool / FILES[0]):
        words = row["output"].split()
        lengths.setdefault(row["policy"], []).append(len(words))
        marks.setdefault(row["policy"], []).append(sum(row["output"].count(mark) for mark in ",.") / len(words))
    for measured in (lengths, marks):
        means = [float(np.mean(values)) for values in measured.values()]
        assert max(means) < 1.04 * min(means)


def test_unigrams_length_and_style_do_not_tell_policies_apart(pool: Path) -> None:
    outputs: dict[str, dict[str, list[str]]] = {}
    for row in rows(pool / FILES[0]):
        outputs.setdefault(row["prompt_id"], {}).setdefault(row["policy"], []).append(row["output"])
    rng = np.random.default_rng(0)

    def pair(prompts: list[str]) -> PairText:
        by_policy = outputs[prompts[rng.integers(len(prompts))]]
        own, other = rng.choice(sorted(by_policy), size=2, replace=False)
        reference, positive = rng.choice(by_policy[own], size=2, replace=False)
        return str(reference), str(positive), str(rng.choice(by_policy[other]))

    prompts = sorted(outputs)
    baseline = fit_baseline([pair(prompts[:100]) for _ in range(1500)])
    assert baseline.accuracy([pair(prompts[100:]) for _ in range(1500)]) <= 0.65


def test_the_order_of_words_does_tell_policies_apart(pool: Path) -> None:
    """A reader who knows each policy's word pairs from other prefixes names the writer almost always."""
    by_policy: dict[str, list[list[str]]] = {}
    for row in rows(pool / FILES[0]):
        by_policy.setdefault(row["policy"], []).append(row["output"].replace(",", "").replace(".", "").split())
    known = {policy: Counter(_pairs(texts[:500])) for policy, texts in by_policy.items()}

    def writer(text: list[str]) -> str:
        return max(known, key=lambda policy: sum(np.log(known[policy][pair] + 0.3) for pair in _pairs([text])))

    right = [writer(text) == policy for policy, texts in by_policy.items() for text in texts[500:]]
    assert np.mean(right) > 0.9


def _pairs(texts: list[list[str]]) -> list[tuple[str, str]]:
    return [pair for text in texts for pair in pairwise(text)]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    small = ("--prompts", "4", "--policies", "3")
    made = [make(tmp_path / str(i), *small, "--seed", seed) for i, seed in enumerate(("5", "5", "6"))]
    first, again, other = ([(folder / name).read_bytes() for name in FILES] for folder in made)
    assert first == again
    assert first != other


def test_the_default_seed_gives_the_same_text_on_every_machine(tmp_path: Path) -> None:
    folder = make(tmp_path, "--prompts", "4", "--policies", "3")
    text = b"".join(gzip.decompress((folder / name).read_bytes()) for name in FILES)
    assert hashlib.sha256(text).hexdigest() == "73df2424a1e05173d82d85ec3e3e0b9dd7a5f07db57d22fe44ff40c33b228249"


@pytest.mark.parametrize(
    ("option", "value"), [("--policies", "1"), ("--prompts", "x"), ("--samples-per-prefix", "0"), ("--seed", "-1")]
)
def test_a_bad_option_is_named_with_what_was_expected_and_got(tmp_path: Path, option: str, value: str) -> None:
    done = run("--out", str(tmp_path / "pool"), option, value)
    assert done.returncode == 2
    assert option in done.stderr and "expected a whole number of at least" in done.stderr and repr(value) in done.stderr
    assert not (tmp_path / "pool").exists()


def test_an_output_folder_that_is_a_file_is_refused_in_one_line(tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_text("mine")
    done = run("--out", str(taken), "--prompts", "2")
    assert done.returncode == 1
    assert str(taken) in done.stderr and "Traceback" not in done.stderr
    assert taken.read_text() == "mine"


def test_leaves_nothing_but_its_files(pool: Path) -> None:
    assert sorted(path.name for path in pool.iterdir()) == sorted(FILES)
