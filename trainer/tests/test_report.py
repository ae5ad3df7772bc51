"""What the operator receives from a training loop, over real TLS, while it comes and goes."""

import json
import socket
import statistics
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from ingest_server import Certificates, Ingest

from polar import report, telemetry
from polar.checkpoint import CheckpointInfo
from polar.distributed import Dist
from polar.metrics_log import read_points
from polar.report import Reporter, Score

Start = Callable[..., Reporter]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def ingest(certificates: Certificates) -> Iterator[Ingest]:
    server = Ingest(certificates)
    yield server
    server.stop()


@pytest.fixture
def start(tmp_path: Path, certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts a reporter of a run whose directory is `tmp_path`; short pauses, so that tests are."""
    target = telemetry.Target

    def quick(**fields: Any) -> telemetry.Target:
        pauses = {"first_backoff_seconds": 0.1, "longest_backoff_seconds": 0.3, "rejected_backoff_seconds": 0.2}
        return target(**(fields | pauses | {"interval_seconds": 0.1}))

    monkeypatch.setattr(report, "Target", quick)
    (tmp_path / "token").write_text("first\n")
    started: list[Reporter] = []

    def make(ingest: Ingest | None, *, resumed_from_step: int = 0, rank: int = 0, address: str = "") -> Reporter:
        address = address or (f"127.0.0.1:{ingest.port}" if ingest else "")
        channel = SimpleNamespace(
            address=address, token_path=str(tmp_path / "token"), ca_path=str(certificates.ca), interval_seconds=2)
        config: Any = SimpleNamespace(
            telemetry=channel if address else None, run=SimpleNamespace(uid="run-1", attempt=2),
            checkpoint=SimpleNamespace(directory=str(tmp_path / "run"), uri="pvc://runs/ns/polarpretrain/demo-1234"))
        started.append(Reporter.start(config, Dist(rank=rank, world_size=rank + 1), resumed_from_step))
        return started[-1]

    yield make
    for one in started:
        one.finish("Crashed", timeout=0)


def points(reporter: Reporter, steps: range) -> None:
    for step in steps:
        reporter.point(step=step, tokens=step * 10, train_loss=1 / (step + 1))


def test_a_run_is_reported_whole_and_in_order(start: Start, ingest: Ingest) -> None:
    reporter = start(ingest)
    points(reporter, range(1, 5))
    reporter.point(step=5, tokens=50, train_loss=0.2, val_loss=0.3, val_accuracy=0.9)
    reporter.progress(stage="Training", step=5, total_steps=5, tokens=50, tokens_per_second=1e4, train_loss=0.2)
    score = Score(pairs=9, loss=0.3, loss_standard_error=0.1, accuracy=0.9, accuracy_lower=0.8, accuracy_upper=1.0)
    reporter.validation(step=5, seen=score, baseline_seen_accuracy=0.6)
    info = CheckpointInfo(step=5, path=Path("/x"), name="step-00000005", manifest_sha256="ab", val_loss=0.3, tokens=50,
                          completed_at="2026-01-01T00:00:00+00:00")
    reporter.checkpoints([info])
    assert reporter.finish("Complete", timeout=20)
    assert ingest.steps() == [1, 2, 3, 4, 5] and sorted(ingest.held) == list(range(1, len(ingest.held) + 1))
    merged = ingest.held[1]
    for seq in sorted(ingest.held)[1:]:
        merged.MergeFrom(ingest.held[seq])
    assert (merged.run_uid, merged.attempt, merged.final) == ("run-1", 2, True)
    assert (merged.progress.stage, merged.progress.total_steps) == ("Training", 5)
    assert merged.validation.seen_policies.pairs == 9 and merged.validation.baseline_seen_accuracy == 0.6
    assert not merged.validation.HasField("unseen_policies")
    assert merged.checkpoints.best_step == 5
    assert merged.checkpoints.items[0].path == "ns/polarpretrain/demo-1234/step-00000005"
    assert ingest.tokens == ["Bearer first"]


def test_everything_arrives_once_although_the_server_is_killed_again_and_again(start: Start, ingest: Ingest) -> None:
    reporter = start(ingest)
    for cycle in range(3):
        points(reporter, range(100 * cycle, 100 * cycle + 50))
        ingest.wait_for(lambda last=100 * cycle + 49: last in ingest.steps())
        ingest.stop()
        points(reporter, range(100 * cycle + 50, 100 * cycle + 100))
        time.sleep(0.5)
        ingest.start()
    assert reporter.finish("Complete", timeout=30)
    assert ingest.steps() == list(range(300))


def test_messages_that_were_not_acknowledged_are_sent_again_unchanged(start: Start, ingest: Ingest) -> None:
    ingest.acks = False
    reporter = start(ingest)
    points(reporter, range(1, 4))
    ingest.wait_for(lambda: 3 in ingest.steps())
    held = {seq: message.SerializeToString() for seq, message in ingest.held.items()}
    ingest.stop()
    ingest.held.clear()
    ingest.acks = True
    ingest.start()
    assert reporter.finish("Complete", timeout=30)
    assert {seq: ingest.held[seq].SerializeToString() for seq in held} == held


def test_each_connection_reads_the_token_afresh(start: Start, ingest: Ingest, tmp_path: Path) -> None:
    reporter = start(ingest)
    ingest.wait_for(lambda: ingest.received)
    (tmp_path / "token").write_text("second\n")
    ingest.stop()
    ingest.start()
    points(reporter, range(1, 2))
    ingest.wait_for(ingest.steps)
    assert ingest.tokens[0] == "Bearer first" and ingest.tokens[-1] == "Bearer second"


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.FAILED_PRECONDITION])
def test_a_rejection_is_told_once_and_outlived(
    start: Start, ingest: Ingest, capfd: pytest.CaptureFixture[str], code: grpc.StatusCode
) -> None:
    ingest.rejection = code
    reporter = start(ingest)
    points(reporter, range(1, 4))
    ingest.wait_for(lambda: len(ingest.tokens) >= 4)
    ingest.rejection = None
    ingest.wait_for(lambda: ingest.steps() == [1, 2, 3])
    reporter.finish("Complete", timeout=20)
    assert capfd.readouterr().err.count(f"telemetry: {code.name}") == 1


def test_a_server_that_never_answers_costs_the_loop_nothing_and_the_end_its_timeout(
    start: Start, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        reporter = start(None, address=f"127.0.0.1:{silent.getsockname()[1]}")
        durations = []
        for step in range(2000):
            started = time.perf_counter()
            reporter.point(step=step, tokens=step, train_loss=0.5)
            reporter.progress(stage="Training", step=step, total_steps=2000, tokens=step)
            durations.append(time.perf_counter() - started)
        assert statistics.median(durations) < 0.001 and sum(durations) < 2
        started = time.monotonic()
        assert reporter.finish("Complete", timeout=1) is False
        assert time.monotonic() - started < 5
    assert len(read_points(tmp_path / "run" / "metrics.jsonl")) == 2000


def test_a_run_that_has_nothing_to_tell_for_long_is_heard_of_all_the_same(
    start: Start, ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick: Callable[..., telemetry.Target] = report.Target
    monkeypatch.setattr(report, "Target", lambda **fields: quick(**fields, heartbeat_seconds=0.3))
    reporter = start(ingest)
    reporter.progress(stage="Training", step=5, total_steps=9)
    ingest.wait_for(lambda: len(ingest.held) >= 5)
    assert ingest.received == sorted(set(ingest.received)), "each message once"
    assert [held.progress.step for held in ingest.held.values() if held.HasField("progress")][-1] == 5
    assert all(not held.ListFields()[3:] for seq, held in ingest.held.items() if seq > 3), "who it is, nothing more"
    assert reporter.finish("Complete", timeout=20)


def test_commands_reach_the_loop(start: Start, ingest: Ingest) -> None:
    ingest.command.save_and_stop = True
    ingest.command.keep_steps.append(900)
    reporter = start(ingest)
    deadline = time.monotonic() + 20
    while not reporter.commands().save_and_stop and time.monotonic() < deadline:
        time.sleep(0.05)
    assert reporter.commands() == report.Commands(save_and_stop=True, keep_steps=(900,))


def test_a_stop_once_told_stays_told_whatever_another_replica_answers(start: Start, ingest: Ingest) -> None:
    ingest.command.save_and_stop = True
    reporter = start(ingest)
    ingest.wait_for(lambda: reporter.commands().save_and_stop)
    ingest.stop()
    ingest.command = report.pb.Command(keep_steps=[300])
    ingest.start()
    points(reporter, range(1, 3))
    ingest.wait_for(lambda: reporter.commands().keep_steps)
    assert reporter.commands() == report.Commands(save_and_stop=True, keep_steps=(300,))


def test_a_resumed_attempt_sends_the_curve_up_to_its_step_in_pieces_and_cuts_the_file_there(
    start: Start, ingest: Ingest, tmp_path: Path
) -> None:
    first = start(None)
    points(first, range(1, 3001))
    first.finish("Crashed")
    path = tmp_path / "run" / "metrics.jsonl"
    path.write_bytes(path.read_bytes() + b'{"step": 3001, "tok')
    second = start(ingest, resumed_from_step=2500)
    assert [one["step"] for one in read_points(path)] == list(range(1, 2501))
    points(second, range(2501, 2504))
    assert second.finish("Complete", timeout=20)
    assert ingest.steps() == list(range(1, 2504))
    pieces = [len(ingest.held[seq].points) for seq in sorted(ingest.held)]
    assert pieces[:2] == [1000, 1000]
    assert max(pieces) == 1000
    assert sum(pieces) == 2503
    assert {message.resumed_from_step for message in ingest.held.values()} == {2500}
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == list(range(1, 2504))


def test_values_that_are_not_finite_are_left_out(start: Start, ingest: Ingest, tmp_path: Path) -> None:
    reporter = start(ingest)
    reporter.point(step=1, tokens=10, train_loss=float("nan"), val_loss=0.5)
    reporter.progress(stage="Training", step=1, tokens_per_second=float("inf"))
    assert reporter.finish("Complete", timeout=20)
    point = next(point for message in ingest.held.values() for point in message.points)
    assert not point.HasField("train_loss") and point.val_loss == 0.5
    assert "NaN" not in (tmp_path / "run" / "metrics.jsonl").read_text()


def test_a_long_run_keeps_its_points_in_the_file_and_only_the_newest_in_memory(start: Start) -> None:
    reporter = start(None)
    points(reporter, range(1, 1001))
    tracemalloc.start()
    points(reporter, range(1001, 10_001))
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert grown < 200_000
    assert [point["step"] for point in reporter.tail()] == list(range(9961, 10_001))
    assert len(reporter.history()) == 10_000
    reporter.finish("Complete")


def test_other_ranks_and_runs_without_telemetry_write_no_network_and_never_fail(start: Start, tmp_path: Path) -> None:
    other = start(None, rank=1)
    points(other, range(3))
    other.checkpoints([])
    assert other.finish("Complete") and other.history() == [] and not (tmp_path / "run").exists()
    alone = start(None)
    points(alone, range(3))
    assert alone.tail(2)[-1] == {"step": 2, "tokens": 20, "trainLoss": 1 / 3}
    assert alone.finish("Complete") and len(read_points(tmp_path / "run" / "metrics.jsonl")) == 3


def test_a_directory_that_cannot_be_written_is_told_and_the_operator_still_hears(
    start: Start, ingest: Ingest, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run").write_text("a file where the directory should be")
    reporter = start(ingest)
    points(reporter, range(1, 3))
    reporter.sync()
    assert reporter.finish("Complete", timeout=20) and ingest.steps() == [1, 2]
    assert "report: FileExistsError" in capfd.readouterr().err


def test_ended_reporters_leave_no_threads(start: Start, ingest: Ingest) -> None:
    before = threading.active_count()
    reporter = start(ingest)
    points(reporter, range(1, 3))
    reporter.finish("Complete", timeout=20)
    deadline = time.monotonic() + 10
    while threading.active_count() > before + 1 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert threading.active_count() <= before + 1  # the server's worker for the stream
