"""Whole runs whose checkpoints are in a bucket: killed, resumed in a new pod, and while the store is away."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from pods import Pods, new_pods
from programs import Gang, complete, points, start_server, tensor_hashes
from run_documents import (
    finetune_document,
    preference_rows,
    pretrain_document,
    trajectory_rows,
    write_json,
    write_jsonl,
)
from s3_server import BUCKET, Server, running

from polar.durable import sha256_of

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


def test_a_run_outlives_a_store_that_goes_away_while_it_trains(
    tmp_path: Path, rows: Path, trained: Path
) -> None:
    with running(tmp_path / "s3") as server:
        config = config_in(tmp_path, rows, server)
        gang, folder = Gang(config), stored(server, tmp_path)
        gang.wait_until((folder / "step-00000005" / "manifest.json").exists)
        server.stop()
        gang.wait_until(lambda: "Training goes on" in gang.log().read_text())
        gang.wait_until((tmp_path / "out" / f"step-{STEPS:08d}" / "manifest.json").exists)
        server.start()
        assert gang.wait() == [0], gang.log().read_text()
        assert hashes(folder, STEPS) == hashes(trained, STEPS)
        assert points(folder) == points(trained)


def test_a_worker_that_is_told_to_stop_brings_its_last_checkpoint_to_the_bucket(
    tmp_path: Path, rows: Path, server: Server, trained: Path
) -> None:
    config = config_in(tmp_path, rows, server, checkpoint__everySteps=1000)
    gang = Gang(config)
    gang.wait_until(lambda: "step 3/" in gang.log().read_text())
    gang.terminate(0)
    assert gang.wait() == [20], gang.log().read_text()
    assert list(stored(server, tmp_path).glob("step-*/manifest.json"))
    shutil.rmtree(tmp_path / "out")
    complete(config)
    assert hashes(stored(server, tmp_path), STEPS) == hashes(trained, STEPS)


def test_a_fine_tune_starts_from_a_checkpoint_in_the_bucket_and_a_branch_continues_it(
    tmp_path: Path, rows: Path, server: Server
) -> None:
    (tmp_path / "base").mkdir()
    base = config_in(tmp_path / "base", rows, server, budget__steps=4, export={"formats": ["huggingface"]})
    complete(base)
    folder = stored(server, tmp_path / "base")
    assert (folder / "export" / "huggingface" / "polar.json").exists()
    uri = f"s3://{BUCKET}/team/base/step-00000004"
    pinned = {"path": uri, "manifestSha256": sha256_of(folder / "step-00000004" / "manifest.json")}

    triplets = write_jsonl(tmp_path / "triplets.jsonl", preference_rows())
    document = finetune_document(tmp_path / "tuned" / "out", triplets, Path(uri), budget__steps=2)
    document["model"]["init"] = pinned
    assert run_in_bucket(tmp_path / "tuned", server, document) == [0]

    document = pretrain_document(tmp_path / "branch" / "out", rows, budget__steps=6, resumeFrom=pinned)
    document["model"] = {"dropout": document["model"]["dropout"]}
    assert run_in_bucket(tmp_path / "branch", server, document) == [0]
    document["resumeFrom"] = {**pinned, "manifestSha256": "0" * 64}
    assert run_in_bucket(tmp_path / "other", server, document) == [12]

    document = finetune_document(tmp_path / "exported" / "out", triplets, Path(uri), budget__steps=2)
    document["model"]["init"] = {"path": f"s3://{BUCKET}/team/base/export/huggingface"}
    assert run_in_bucket(tmp_path / "exported", server, document) == [0]


def run_in_bucket(directory: Path, server: Server, document: dict[str, Any]) -> list[int | None]:
    directory.mkdir()
    document["checkpoint"]["directory"] = str(directory / "out")
    document["checkpoint"]["s3"] = {"bucket": BUCKET, "prefix": f"team/{directory.name}", "endpoint": server.endpoint}
    gang = Gang(write_json(directory / "run.json", document))
    codes = gang.wait()
    print(gang.log().read_text())
    return codes
