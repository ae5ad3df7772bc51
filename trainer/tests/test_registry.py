"""The registry program on a volume: what it lists, verifies, removes and sends, and what it refuses to touch."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from checkpoints import save_checkpoint
from ingest_server import Certificates, Ingest
from run_documents import pretrain_document, write_json

from polar import registry
from polar.manifest import MANIFEST

Run = Callable[..., tuple[int, list[dict[str, Any]], dict[str, Any]]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The run's own folder, as the operator names it."""
    return tmp_path / "ns" / "polarpretrain" / "tiny-01234567"


@pytest.fixture
def run(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:  # fmt: skip
    """Does a task: exit code, the lines about checkpoints, the termination message."""
    monkeypatch.setenv("POLAR_TERMINATION_LOG", str(tmp_path / "termination"))

    def call(task: str, **changes: Any) -> tuple[int, list[dict[str, Any]], dict[str, Any]]:
        config = write_json(tmp_path / "run.json", pretrain_document(root, tmp_path, **changes))
        monkeypatch.setattr(sys, "argv", ["registry", task, "--config", str(config), "--json"])
        with pytest.raises(SystemExit) as ended:
            registry.main()
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        message = json.loads((tmp_path / "termination").read_text())
        assert isinstance(ended.value.code, int)
        return ended.value.code, [line for line in lines if "task" not in line], message

    return call


def names(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir())


def test_lists_what_there_is_and_what_is_missing(root: Path, run: Run) -> None:
    save_checkpoint(root, 5, 0.5)
    (save_checkpoint(root, 10, 0.25) / "model.safetensors").unlink()
    code, rows, message = run("list")
    assert code == 0 and message["message"] == f"2 checkpoints in {root}"
    assert [(row["name"], row["state"], row.get("valLoss")) for row in rows] == [
        ("step-00000005", "complete", 0.5),
        ("step-00000010", "damaged", None),
    ]
    assert "model.safetensors: cannot be read: No such file" in rows[1]["problem"]


def test_verifies_every_hash_and_fails_when_one_is_wrong(root: Path, run: Run) -> None:
    save_checkpoint(root, 5)
    assert run("verify")[0] == 0
    path = save_checkpoint(root, 10) / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    code, rows, message = run("verify")
    assert (code, message["reason"], message["exitCode"]) == (12, "CheckpointInvalid", 12)
    assert message["message"].startswith("1 of 2 checkpoints damaged: ")
    assert [row["state"] for row in rows] == ["verified", "damaged"]


def test_removes_what_is_not_kept_and_leftovers(root: Path, run: Run) -> None:
    for step, loss in ((5, 0.5), (10, 0.1), (15, 0.4), (20, 0.3)):
        save_checkpoint(root, step, loss)
    (root / ".tmp-step-00000025-1").mkdir()
    code, rows, message = run("gc", checkpoint__keepLast=1, checkpoint__keepSteps=[5])
    assert code == 0 and message["message"] == "removed 1 checkpoint, kept 3"
    assert [row["name"] for row in rows] == ["step-00000015"]
    assert names(root) == ["LATEST", "step-00000005", "step-00000010", "step-00000020"]


def test_never_removes_the_newest_that_verifies(root: Path, run: Run) -> None:
    for step in (5, 10, 15):
        save_checkpoint(root, step, None)
    for step in (10, 15):
        (root / f"step-{step:08d}" / "state.json").write_text("{" + " " * 400)
    sized = root / "step-00000015" / "model.safetensors"
    sized.write_bytes(bytes(sized.stat().st_size))
    assert run("gc", checkpoint__keepLast=1, checkpoint__keepBest=0)[0] == 0
    assert "step-00000005" in names(root)


def test_removes_nothing_when_nothing_verifies(root: Path, run: Run) -> None:
    for step in (5, 10):
        (save_checkpoint(root, step) / "config.json").write_text("[]")
    code, _, message = run("gc", checkpoint__keepLast=1)
    assert code == 12 and message["message"] == f"none of 2 checkpoints in {root} verifies: nothing is removed"
    assert names(root) == ["LATEST", "step-00000005", "step-00000010"]


def test_deletes_the_folder_of_the_run_and_can_be_repeated(root: Path, run: Run) -> None:
    save_checkpoint(root, 5)
    (root / "export").mkdir()
    (root / "export" / "link").symlink_to(root.parents[1])
    other = save_checkpoint(root.parent / "other-01234567", 5)
    assert run("delete")[2]["message"] == f"deleted {root} with 1 checkpoint"
    assert not root.exists() and (other / MANIFEST).exists()
    assert run("delete")[2]["message"] == f"deleted {root} with 0 checkpoints"


@pytest.mark.parametrize("name", ["other-01234567", "tiny-01234567/..", "tiny-01234567/step-00000005"])
def test_deletes_no_folder_but_that_of_the_run(root: Path, run: Run, name: str) -> None:
    saved = save_checkpoint(root, 5)
    code, _, message = run("delete", checkpoint__directory=str(root.parent / name))
    assert code == 10 and "expected a path that ends with ns/polarpretrain/tiny-01234567" in message["message"]
    assert (saved / MANIFEST).exists()


@pytest.mark.parametrize("level", [0, 1, 2])
def test_deletes_nothing_through_a_link(tmp_path: Path, root: Path, run: Run, level: int) -> None:
    linked = [root, *root.parents][level]
    elsewhere = tmp_path / "elsewhere"
    saved = save_checkpoint(elsewhere / root.relative_to(linked), 5)
    linked.parent.mkdir(parents=True, exist_ok=True)
    linked.symlink_to(elsewhere)
    code, _, message = run("delete")
    assert code == 12 and "got a link" in message["message"]
    assert (saved / MANIFEST).exists()


def test_a_deletion_that_is_killed_goes_on_and_leaves_no_half_checkpoint_that_looks_whole(
    tmp_path: Path, root: Path, run: Run
) -> None:
    program = "import sys; from polar import registry; sys.argv = sys.argv[:1] + sys.argv[1:]; registry.main()"
    config = write_json(tmp_path / "run.json", pretrain_document(root, tmp_path))
    for step in range(5, 30, 5):
        save_checkpoint(root, step)
    command = ["strace", "-qq", "-f", "-e", "trace=unlinkat,unlink", "-e", "inject=unlinkat,unlink:signal=KILL:when=9"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    ended = subprocess.run(
        [*command, sys.executable, "-c", program, "delete", "--config", str(config)], env=environment, check=False,
        capture_output=True,
    )  # fmt: skip
    assert ended.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL), ended.stderr
    assert root.exists() and run("list")[1] == []
    assert run("delete")[0] == 0 and not root.exists()


@pytest.fixture
def ingest(tmp_path: Path) -> Iterator[tuple[Ingest, dict[str, Any]]]:
    """A server for telemetry and what a run's config says of it."""
    certificates = Certificates(tmp_path)
    server = Ingest(certificates)
    (tmp_path / "token").write_text("mine")
    told = {
        "address": f"127.0.0.1:{server.port}", "tokenPath": str(tmp_path / "token"), "caPath": str(certificates.ca),
        "intervalSeconds": 1,
    }  # fmt: skip
    yield server, told
    server.stop()


def test_reports_the_curve_and_the_checkpoints_after_all_that_the_trainer_sent(
    ingest: tuple[Ingest, dict[str, Any]], root: Path, run: Run
) -> None:
    server, told = ingest
    saved = save_checkpoint(root, 20, 0.25)
    points = [{"step": step, "tokens": 10 * step, "train_loss": 1 / step} for step in range(1, 21)]
    (root / "metrics.jsonl").write_text("".join(json.dumps(point) + "\n" for point in points))
    code, _, message = run("report", telemetry=told)
    assert code == 0 and message["message"] == "reported 20 points of the curve and 1 checkpoint"
    sent = list(server.held.values())
    assert [point.step for one in sent for point in one.points] == list(range(1, 21))
    assert min(server.held) > 1_000_000_000 and {one.resumed_from_step for one in sent} == {20}
    assert sent[-1].checkpoints.items[0].path == f"ns/polarpretrain/tiny-01234567/{saved.name}"
    assert (sent[-1].progress.stage, sent[-1].progress.step, sent[-1].progress.tokens) == ("Done", 20, 200)


def test_tells_what_is_left_after_it_removed_what_is_not_kept(
    ingest: tuple[Ingest, dict[str, Any]], root: Path, run: Run
) -> None:
    server, told = ingest
    for step in (5, 10, 15):
        save_checkpoint(root, step, step / 10)
    assert run("gc", checkpoint__keepLast=1, checkpoint__keepBest=1, telemetry=told)[0] == 0
    [sent] = server.held.values()
    assert [item.step for item in sent.checkpoints.items] == [5, 15] and sent.checkpoints.best_step == 5
    assert not sent.HasField("progress") and list(sent.points) == []


def test_a_report_that_nobody_takes_in_is_an_error(run: Run) -> None:
    code, _, message = run("report")
    assert code == 10 and message["message"] == "telemetry: expected the address to report to, got none"
