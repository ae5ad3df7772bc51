"""A run that the operator asks to save and stop, in each phase: it ends at once, and the next attempt goes on."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ingest_server import Certificates, Ingest
from programs import Gang, start_server, tensor_hashes
from run_documents import pretrain_document, trajectory_rows, write_json, write_jsonl

from polar import checkpoint, evaluate, pretrain, report, store
from polar.errors import Interrupted
from polar.gen import telemetry_pb2 as pb
from polar.start import Start
from polar.step import Stepper
from polar.stop import FLAG
from polar.telemetry import TelemetryStream
from polar.warmstart import WarmStart

STEPS = 12
WARM = {"policyClassification": {"steps": 6, "batchTrajectories": 8, "learningRate": "0.003"}}


class Run:
    """A run in this process that reports to a real server."""

    def __init__(self, directory: Path, rows: Path, ingest: Ingest, ca: Path) -> None:
        self.directory, self.rows, self.ingest, self.ca = directory, rows, ingest, ca
        self.out = directory / "out"
        self.streams: list[TelemetryStream] = []
        (directory / "token").write_text("t")

    def attempt(self, **changes: Any) -> None:
        telemetry = {
            "address": f"127.0.0.1:{self.ingest.port}", "tokenPath": str(self.directory / "token"),
            "caPath": str(self.ca), "intervalSeconds": 1,
        }
        document = pretrain_document(self.out, self.rows, **{"budget__steps": STEPS, "telemetry": telemetry, **changes})
        pretrain.main(str(write_json(self.directory / "run.json", document)), {})

    def ask(self) -> None:
        """Ask for a stop and wait until the trainer has heard of it."""
        self.ingest.push(pb.Command(save_and_stop=True))
        self.ingest.wait_for(lambda: self.streams and self.streams[-1].stop)

    def interrupted(self, **changes: Any) -> str:
        with pytest.raises(Interrupted) as caught:
            self.attempt(**changes)
        FLAG.requested = False
        self.ingest.command = pb.Command()
        return str(caught.value)

    def saved(self) -> dict[int, Any]:
        """The steps of the checkpoints with their validation losses."""
        manifests = [json.loads(path.read_text()) for path in sorted(self.out.glob("step-*/manifest.json"))]
        return {one["step"]: one["valLoss"] for one in manifests}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_jsonl(tmp_path_factory.mktemp("data") / "rows.jsonl", trajectory_rows())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, rows: Path) -> Path:
    """The run that nobody stops."""
    directory = tmp_path_factory.mktemp("whole")
    document = pretrain_document(directory / "out", rows, budget__steps=STEPS)
    pretrain.main(str(write_json(directory / "run.json", document)), {})
    return directory / "out"


@pytest.fixture
def run(
    tmp_path: Path, rows: Path, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Run]:
    ingest = Ingest(certificates)
    one = Run(tmp_path, rows, ingest, certificates.ca)
    monkeypatch.setattr(FLAG, "requested", False)
    monkeypatch.setattr(FLAG, "reason", "")
    monkeypatch.setattr(
        report, "TelemetryStream", lambda *given: one.streams.append(TelemetryStream(*given)) or one.streams[-1]
    )
    yield one
    ingest.stop()


@pytest.fixture
def on_call(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Does something when a function is called for the n-th time, before the call goes on."""

    def arrange(owner: Any, name: str, action: Callable[[], None], call: int = 1) -> None:
        real, calls = getattr(owner, name), iter(range(1, 1_000_000))

        def observed(*given: Any, **named: Any) -> Any:
            if next(calls) == call:
                action()
            return real(*given, **named)

        monkeypatch.setattr(owner, name, observed)

    return arrange


def completes_like(run: Run, whole: Path) -> None:
    run.attempt()
    assert tensor_hashes(run.out, STEPS) == tensor_hashes(whole, STEPS)


def test_while_the_data_is_prepared(
    run: Run, whole: Path, on_call: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "BEAT_SECONDS", 0)
    on_call(store, "_advance", run.ask)
    assert run.interrupted() == "stopped while the data was being prepared, which will be repeated"
    assert not run.saved()
    completes_like(run, whole)


def test_before_the_first_step(run: Run, whole: Path, on_call: Callable[..., None]) -> None:
    on_call(Start, "state", run.ask)
    assert run.interrupted() == "stopped at step 0 of 12 before another began (saveAndStop)"
    assert not run.saved()
    completes_like(run, whole)


def test_in_the_warm_start_which_the_next_attempt_begins_again(run: Run, on_call: Callable[..., None]) -> None:
    on_call(WarmStart, "_step", run.ask, call=3)
    assert run.interrupted(warmStart=WARM) == "stopped in step 3 of 6 of the warm start, which will be repeated"
    assert not run.saved()


def test_after_the_last_step_of_the_warm_start_its_result_is_saved(run: Run, on_call: Callable[..., None]) -> None:
    on_call(Stepper, "prepare", run.ask)
    said = run.interrupted(warmStart=WARM)
    assert said in ("stopped at step 0 of 12 after saving (saveAndStop)", "stopped at step 1 of 12 after saving "
                    "(saveAndStop)")
    assert 0 in run.saved()


def test_in_a_step(run: Run, whole: Path, on_call: Callable[..., None]) -> None:
    on_call(Stepper, "step", run.ask, call=3)
    assert run.interrupted() == "stopped at step 3 of 12 after saving (saveAndStop)"
    assert run.saved() == {3: None}
    completes_like(run, whole)


def test_in_a_validation_which_is_given_up(
    run: Run, whole: Path, on_call: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "PAIRS_AT_ONCE", 4)
    on_call(evaluate, "margins", run.ask)
    assert run.interrupted() == "stopped at step 5 of 12 after saving (saveAndStop)"
    assert run.saved() == {5: None}
    completes_like(run, whole)


def test_at_the_end_of_a_validation_before_another_step(
    run: Run, whole: Path, on_call: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    on_call(evaluate, "margins", run.ask)
    assert run.interrupted() == "stopped at step 5 of 12 after saving (saveAndStop)"
    assert list(run.saved()) == [5] and run.saved()[5] > 0
    completes_like(run, whole)


def test_while_a_checkpoint_is_written(run: Run, whole: Path, on_call: Callable[..., None]) -> None:
    on_call(checkpoint, "write", run.ask)
    run.interrupted()
    first, second = run.saved()
    assert first == 5 < second < STEPS
    completes_like(run, whole)


def test_in_the_last_validation_the_run_is_complete_all_the_same(run: Run, on_call: Callable[..., None]) -> None:
    on_call(evaluate, "margins", run.ask, call=3)
    run.attempt()
    assert run.saved()[STEPS] > 0


def test_checkpoints_that_the_operator_asks_to_keep_while_the_run_goes_on_stay(
    run: Run, on_call: Callable[..., None]
) -> None:
    def ask_to_keep() -> None:
        run.ingest.push(pb.Command(keep_steps=[5]))
        run.ingest.wait_for(lambda: run.streams and list(run.streams[-1].command.keep_steps) == [5])

    on_call(Stepper, "step", ask_to_keep, call=3)
    run.attempt(checkpoint__keepLast=1, checkpoint__keepBest=0)
    assert list(run.saved()) == [5, STEPS]


def test_sigterm_to_one_of_two_ranks_ends_a_validation_of_both(tmp_path: Path, rows: Path) -> None:
    start_server()
    document = pretrain_document(tmp_path / "out", rows, budget__steps=STEPS, gang__workers=2)
    gang = Gang(write_json(tmp_path / "run.json", document), ranks=2, program="slow_validation_program")
    gang.wait_until((tmp_path / "validating").exists)
    gang.terminate(1)
    assert gang.wait() == [20, 20], gang.log().read_text()
    assert "stopped at step 5 of 12 after saving" in gang.log().read_text()
    manifest = json.loads((tmp_path / "out" / "step-00000005" / "manifest.json").read_text())
    assert manifest["valLoss"] is None


def test_the_operator_hears_of_the_time_of_training_and_of_saving(run: Run) -> None:
    def last() -> pb.Progress:
        told = [one.progress for _, one in sorted(run.ingest.held.items()) if one.HasField("progress")]
        return told[-1]

    run.attempt()
    assert 0 < last().save_seconds < 5 and 0.05 < last().train_seconds < 60
    assert not last().HasField("checkpoint_every_seconds")
    before = last().train_seconds
    run.ingest.held.clear()
    run.attempt(checkpoint__everySteps=None, checkpoint__meanSecondsBetweenFailures=3600, budget__steps=2 * STEPS)
    assert last().train_seconds > before and last().checkpoint_every_seconds == 60


def test_while_the_connection_comes_and_goes(run: Run, whole: Path, on_call: Callable[..., None]) -> None:
    def come_back_and_ask() -> None:
        run.ingest.command = pb.Command(save_and_stop=True)
        run.ingest.start()

    on_call(Stepper, "step", run.ingest.stop, call=2)
    on_call(Stepper, "step", run.ingest.start, call=4)
    on_call(Stepper, "step", run.ingest.stop, call=5)
    on_call(Stepper, "step", come_back_and_ask, call=6)
    on_call(Stepper, "step", lambda: run.ingest.wait_for(lambda: run.streams[-1].stop), call=7)
    began = time.monotonic()
    assert run.interrupted() == "stopped at step 7 of 12 after saving (saveAndStop)"
    assert time.monotonic() - began < 60
    completes_like(run, whole)
