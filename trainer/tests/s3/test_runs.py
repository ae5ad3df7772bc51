"""Whole runs whose checkpoints are in a bucket: killed, resumed in a new pod, and while the store is away."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from pods import Pods, new_pods
from programs import Gang, complete, points, start_server, tensor_hashes
from run_documents import pretrain_document, trajectory_rows, write_json, write_jsonl
from s3_server import BUCKET, Server

STEPS = 30


@pytest.fixture(scope="module", autouse=True)
def ranks(credentials: None) -> None:
    start_server()


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_jsonl(tmp_path_factory.mktemp("data") / "rows.jsonl.gz", trajectory_rows())


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, rows: Path) -> Path:
    """What the run leaves when nothing disturbs it, in a folder."""
    directory = tmp_path_factory.mktemp("trained")
    document = pretrain_document(directory / "out", rows, budget__steps=STEPS, checkpoint__keepLast=100)
    return complete(write_json(directory / "run.json", document))


def config_in(directory: Path, data: Path, server: Server, **changes: Any) -> Path:
    """A run whose prefix has the name of its directory."""
    changes = {"budget__steps": STEPS, "checkpoint__keepLast": 100, "checkpoint__everySteps": 5} | changes
    document = pretrain_document(directory / "out", data, **changes)
    document["checkpoint"]["s3"] = {"bucket": BUCKET, "prefix": f"team/{directory.name}", "endpoint": server.endpoint}
    return write_json(directory / "run.json", document)


def stored(server: Server, directory: Path) -> Path:
    """The run's objects as the server keeps them."""
    return server.data / BUCKET / "team" / directory.name


def hashes(folder: Path, step: int) -> dict[str, str]:
    return tensor_hashes(folder, step)


def test_a_run_leaves_the_checkpoints_of_an_uninterrupted_one_when_it_resumes_in_an_empty_folder(
    tmp_path: Path, rows: Path, server: Server, trained: Path
) -> None:
    config = config_in(tmp_path, rows, server)
    first = Gang(config)
    first.wait_until((stored(server, tmp_path) / "step-00000010" / "manifest.json").exists)
    first.kill()
    shutil.rmtree(tmp_path / "out")
    complete(config)
    folder = stored(server, tmp_path)
    assert hashes(folder, STEPS) == hashes(trained, STEPS)
    assert points(folder) == points(trained)
    assert (folder / "LATEST").read_text() == f"step-{STEPS:08d}\n"
    assert json.loads((folder / f"step-{STEPS:08d}" / "manifest.json").read_text())["step"] == STEPS


@pytest.mark.parametrize("sharding", ["none", "full"])
def test_a_gang_whose_pods_share_no_folder_saves_and_resumes_as_one_that_does(
    tmp_path: Path, rows: Path, server: Server, sharding: str
) -> None:
    together = tmp_path / "together"
    changes = {"gang__workers": 2, "engine": {"sharding": sharding}, "budget__steps": 12}
    document = pretrain_document(together / "out", rows, checkpoint__everySteps=4, **changes)
    together.mkdir()
    expected = complete(write_json(together / "run.json", document), ranks=2)

    config = config_in(tmp_path, rows, server, checkpoint__everySteps=4, **changes)
    folder = stored(server, tmp_path)
    first = Pods(config, 2)
    first.wait_until((folder / "step-00000004" / "manifest.json").exists)
    first.kill()
    new_pods(config, 2)
    second = Pods(config, 2)
    assert second.wait() == [0, 0], second.log().read_text() + second.log(1).read_text()
    assert "continuing from" in second.log().read_text()
    assert hashes(folder, 12) == hashes(expected, 12)
    parts = {path.name for path in folder.glob("step-00000012/*/model*")}
    two = {"model-00000-of-00002.safetensors", "model-00001-of-00002.safetensors"}
    assert parts == (two if sharding == "full" else {"model.safetensors"})
    assert not list(folder.glob("step-*/*/.part-*"))
    assert points(folder) == points(expected)
