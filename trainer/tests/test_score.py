import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from polar import checkpoint, score, scorer
from polar.config import Architecture
from polar.config_reader import camel
from polar.encode import Text
from polar.model import build
from polar.tokenizer import train_tokenizer

ARCH = {
    "hiddenSize": 16,
    "numLayers": 2,
    "numHeads": 2,
    "numKeyValueHeads": 1,
    "intermediateSize": 32,
    "ropeTheta": 10000,
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("score"))


def save(root: Path, **data: str) -> Path:
    encoder = train_tokenizer(["river stone lamp cloud"] * 4, 300)
    dimensions = {name: ARCH[camel(name)] for name in Architecture.__slots__}
    model = build(Architecture(**dimensions), encoder.vocab_size, 0.0, 0)
    torch.nn.init.normal_(model.v_head.weight)
    snapshot = checkpoint.Snapshot(
        step=1, tokens=1, model=dict(model.state_dict()), optimizer={}, rng={},
        state={"model": {**ARCH, "vocabSize": encoder.vocab_size}},
        config={"data": {"maxLength": 60, "maxResponseLength": 20, "wrapper": "sft", **data}},
        tokenizer_json=encoder.to_json(),
    )  # fmt: skip
    return checkpoint.save(root, snapshot).path


def scored(saved: Path, rows: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(text.encode())))
    code = score.main(["--checkpoint", str(saved), "--jsonl", "-"])
    out, err = capsys.readouterr()
    return code, [json.loads(line) for line in out.splitlines()], err


def test_scores_rows_from_standard_input(
    saved: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"prompt": "lamp", "reference": "river", "candidate": "stone"}
    many = {
        "prompt": [{"role": "user", "content": "lamp"}],
        "reference": "river",
        "candidates": ["stone", "cloud cloud"],
    }
    code, got, _ = scored(saved, [row, many], monkeypatch, capsys)
    assert code == 0
    assert got[0]["score"] == pytest.approx(got[1]["scores"][0], abs=1e-6)
    assert got[1]["scores"][0] != got[1]["scores"][1]


def test_a_rows_wrapper_changes_its_score(
    saved: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"prompt": "lamp", "reference": "river", "candidate": "stone"}
    _, got, _ = scored(saved, [row, {**row, "wrapper": "pretrain"}], monkeypatch, capsys)
    assert got[0] != got[1]


@pytest.mark.parametrize(
    ("row", "wanted"),
    [
        ({"prompt": "a", "reference": "b"}, "standard input:1: candidate: expected a string"),
        ({"prompt": "a", "candidate": "b"}, "standard input:1: reference: expected a string"),
        ({"prompt": "a", "reference": "b", "candidates": []}, "standard input:1: candidates: expected a list"),
        ({"prompt": "a", "reference": "b", "candidate": "c", "wrapper": 3}, "standard input:1: wrapper: expected"),
        ([], "standard input:1: expected an object"),
    ],
)  # fmt: skip
def test_a_bad_row_is_named(
    saved: Path, row: Any, wanted: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = scored(saved, [row], monkeypatch, capsys)
    assert code == 11
    assert wanted in err


def test_scores_a_triple_from_the_command_line(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--prompt", "lamp", "--reference", "river", "--candidate", "stone", "--candidate", "cloud"]
    assert score.main(["--checkpoint", str(saved), *arguments]) == 0
    assert len(json.loads(capsys.readouterr().out)["scores"]) == 2


def test_a_checkpoint_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--prompt", "a", "--reference", "b", "--candidate", "c"]
    assert score.main(["--checkpoint", str(tmp_path / "step-00000001"), *arguments]) == 12
    assert "step-00000001" in capsys.readouterr().err


def test_results_stop_before_a_line_that_does_not_parse(
    saved: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good = json.dumps({"prompt": "lamp", "reference": "river", "candidate": "stone"})
    text = f"{good}\nnot json\n{good}\n"
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(text.encode())))
    assert score.main(["--checkpoint", str(saved), "--jsonl", "-"]) == 11
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 1
    assert "standard input:2: not JSON" in err


def test_a_model_trained_without_references_ignores_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = save(tmp_path, reference="omit")
    arguments = ["--checkpoint", str(path), "--prompt", "lamp", "--candidate", "stone"]
    found = []
    for reference in ([], ["--reference", "river"], ["--reference", "cloud"]):
        assert score.main([*arguments, *reference]) == 0
        found.append(capsys.readouterr().out)
    assert len(set(found)) == 1


def test_many_long_candidates_are_scored_like_single_ones(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scorer, "MICRO_BATCH_TOKENS", 60)
    made = scorer.Scorer(saved, torch.device("cpu"))
    reference, candidates = Text("lamp", "river"), [Text("lamp", "stone " * n) for n in range(9)]
    alone = [made.scores(reference, [candidate])[0] for candidate in candidates]
    assert made.scores(reference, candidates) == pytest.approx(alone, abs=1e-5)
