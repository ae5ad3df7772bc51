"""Whole runs of a sharded model as real processes: killed, resumed by other ranks, branched from, scored."""

import json
from pathlib import Path
from typing import Any

import pytest
from programs import Gang, complete, points, start_server
from run_documents import pretrain_document, trajectory_rows, write_json, write_jsonl

from polar import checkpoint
from polar.score import main as score

SHARDED = {"engine": {"sharding": "full", "precision": "fp32", "activationCheckpointing": True}, "gang__workers": 2}


@pytest.fixture(scope="module", autouse=True)
def server() -> None:
    start_server()


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_jsonl(tmp_path_factory.mktemp("data") / "rows.jsonl.gz", trajectory_rows())


def config_in(directory: Path, data: Path, **changes: Any) -> Path:
    directory.mkdir(exist_ok=True)
    document = pretrain_document(directory / "out", data, checkpoint__keepLast=100, **changes)
    return write_json(directory / "run.json", document)


def losses(directory: Path) -> list[float]:
    return [point["train_loss"] for point in points(directory)]


def test_a_sharded_run_is_killed_resumed_branched_from_and_scored(
    tmp_path: Path, rows: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = complete(config_in(tmp_path / "whole", rows, **SHARDED, budget__steps=12), ranks=2)
    config = config_in(tmp_path / "killed", rows, **SHARDED, budget__steps=12)
    out = tmp_path / "killed" / "out"
    gang = Gang(config, ranks=2)
    gang.wait_until((out / "step-00000005" / "manifest.json").exists)
    gang.kill()
    complete(config, ranks=2)
    assert points(out) == points(whole)
    final, wanted = (checkpoint.load(root / "step-00000012") for root in (out, whole))
    assert all(final.model[name].equal(wanted.model[name]) for name in wanted.model)

    branch = {"path": str(whole / "step-00000005")}
    alone = complete(config_in(tmp_path / "branch", rows, resumeFrom=branch, budget__steps=7))
    assert [point["step"] for point in points(alone)] == [6, 7]
    assert losses(alone)[0] == pytest.approx(losses(whole)[5], abs=0.05)  # dropout of other ranks

    asked = ["--prompt", "river stone", "--reference", " bird field", "--candidate", " bird"]
    assert score(["--checkpoint", str(out / "step-00000012"), *asked]) == 0
    assert json.loads(capsys.readouterr().out)["scores"]
