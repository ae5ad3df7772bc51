"""The registry program on a bucket."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from objects import a_snapshot, remote_in, save
from run_documents import pretrain_document, write_json
from s3_server import BUCKET, Server

from polar import registry
from polar.config_runtime import S3
from polar.remote import Remote

Run = Callable[..., tuple[int, list[dict[str, Any]], str]]


@pytest.fixture
def remote(tmp_path: Path, server: Server) -> Remote:
    """The run's own prefix, as the operator names it."""
    prefix = f"{tmp_path.name}/ns/polarpretrain/tiny-01234567"
    return Remote(S3(bucket=BUCKET, prefix=prefix, endpoint=server.endpoint), tmp_path / "out")


@pytest.fixture
def run(
    tmp_path: Path, remote: Remote, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:  # fmt: skip
    """Does a task: exit code, the lines about checkpoints, the message."""
    monkeypatch.setenv("POLAR_TERMINATION_LOG", str(tmp_path / "termination"))

    def call(task: str, prefix: str = remote.bucket.prefix, **changes: Any) -> tuple[int, list[dict[str, Any]], str]:
        document = pretrain_document(remote.root, tmp_path, **changes)
        document["checkpoint"]["s3"] = {"bucket": BUCKET, "prefix": prefix, "endpoint": remote.bucket.endpoint}
        config = write_json(tmp_path / "run.json", document)
        monkeypatch.setattr(sys, "argv", ["registry", task, "--config", str(config), "--json"])
        with pytest.raises(SystemExit) as ended:
            registry.main()
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        message = json.loads((tmp_path / "termination").read_text())["message"]
        assert isinstance(ended.value.code, int)
        return ended.value.code, [line for line in lines if "task" not in line], message

    return call


def test_lists_verifies_and_thins_out(remote: Remote, run: Run) -> None:
    save(remote, *(a_snapshot(step, val_loss=loss) for step, loss in ((100, 0.5), (200, 0.1), (300, 0.4), (400, 0.3))))
    remote.bucket.put("step-00000500/half/model.safetensors", b"left by a kill")
    code, rows, message = run("list")
    assert code == 0 and [row["step"] for row in rows] == [100, 200, 300, 400]
    assert message == f"4 checkpoints in s3://{BUCKET}/{remote.bucket.prefix}"
    assert run("verify")[0] == 0
    code, rows, message = run("gc", checkpoint__keepLast=1, checkpoint__keepSteps=[100])
    assert (code, message) == (0, "removed 1 checkpoint, kept 3")
    assert remote.names() == ["step-00000100", "step-00000200", "step-00000400"]
    assert not remote.bucket.list("step-00000300") and not remote.bucket.list("step-00000500")


def test_tells_a_damaged_checkpoint_and_removes_nothing_when_none_verifies(remote: Remote, run: Run) -> None:
    save(remote, a_snapshot(100), a_snapshot(200))
    for key in remote.bucket.list("step-00000200"):
        if key.endswith("model.safetensors"):
            remote.bucket.put(key, b"x" * remote.bucket.list(key)[key])
    code, rows, message = run("verify")
    assert code == 12 and [row["state"] for row in rows] == ["verified", "damaged"]
    assert message.startswith("1 of 2 checkpoints damaged: s3://") and "model.safetensors: expected SHA-256" in message
    assert run("gc", checkpoint__keepLast=1, checkpoint__keepBest=0)[0] == 0
    assert remote.names() == ["step-00000100", "step-00000200"]  # 200 is the newest, 100 the newest that verifies
    for key in remote.bucket.list("step-00000100"):
        if key.endswith("state.json"):
            remote.bucket.delete(key)
    code, _, message = run("gc", checkpoint__keepLast=1, checkpoint__keepBest=0)
    assert code == 12 and "verifies: nothing is removed" in message


def test_deletes_all_of_the_run_and_nothing_else(tmp_path: Path, server: Server, remote: Remote, run: Run) -> None:
    save(remote, a_snapshot(100))
    remote.bucket.put("export/onnx/polar.json", b"{}")
    neighbour = remote_in(server, tmp_path / "other", "x")
    neighbour.bucket = remote.bucket.at(f"{remote.bucket.prefix}-2")
    save(neighbour, a_snapshot(100))
    code, _, message = run("delete", prefix="team")
    assert code == 10 and "expected a path that ends with ns/polarpretrain/tiny-01234567" in message
    assert run("delete")[2] == f"deleted s3://{BUCKET}/{remote.bucket.prefix} with 1 checkpoint"
    assert remote.bucket.list() == {} and neighbour.names() == ["step-00000100"]
    assert run("delete")[2].endswith("with 0 checkpoints")
