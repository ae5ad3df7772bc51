"""Attempts that go on where others ended: before a loss that was not finite, with more steps, with other workers."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from programs import Gang, complete, points, start_server, tensor_hashes
from run_documents import pretrain_document, trajectory_rows, write_json, write_jsonl

from polar import config, pretrain
from polar.errors import NonFiniteLossError
from polar.schedule import learning_rate
from polar.step import Stepper

STEPS = 20
PAUSE_SECONDS = 0.1
At = Callable[[int, Callable[[Stepper], Any]], None]


@pytest.fixture(scope="module", autouse=True)
def server() -> None:
    start_server()


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_jsonl(tmp_path_factory.mktemp("data") / "rows.jsonl", trajectory_rows())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, rows: Path) -> Path:
    """The run that nothing happens to, in this process."""
    return train(tmp_path_factory.mktemp("whole"), rows)


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> At:
    """Does something before the n-th step from now on; step 0 is every step."""
    real = Stepper.step

    def arrange(step: int, action: Callable[[Stepper], Any]) -> None:
        numbers = iter(range(1, 1000))

        def observed(self: Stepper, *given: Any) -> Any:
            if next(numbers) == step or step == 0:
                action(self)
            return real(self, *given)

        monkeypatch.setattr(Stepper, "step", observed)

    return arrange


def config_in(directory: Path, rows: Path, **changes: Any) -> Path:
    document = pretrain_document(directory / "out", rows, **{"budget__steps": STEPS, **changes})
    return write_json(directory / "run.json", document)


def train(directory: Path, rows: Path, **changes: Any) -> Path:
    """An attempt in this process."""
    pretrain.main(str(config_in(directory, rows, **changes)), {})
    return directory / "out"


def break_weights(stepper: Stepper) -> None:
    stepper.model.v_head.weight.data.fill_(torch.nan)


def crash(_stepper: Stepper) -> None:
    raise RuntimeError("the fan fell off")


def fails(directory: Path, rows: Path, at: At, step: int, **changes: Any) -> str:
    at(step, break_weights)
    with pytest.raises(NonFiniteLossError) as caught:
        train(directory, rows, **changes)
    at(-1, break_weights)
    return str(caught.value)


def saved(out: Path) -> list[int]:
    return sorted(int(path.parent.name.removeprefix("step-")) for path in out.glob("step-*/manifest.json"))


def test_a_loss_that_is_not_finite_ends_with_13_and_the_next_attempt_goes_back_one_checkpoint_and_passes(
    tmp_path: Path, rows: Path
) -> None:
    gang = Gang(config_in(tmp_path, rows, run__name="nan-0-12"), program="faulty_program")
    assert gang.wait() == [13], gang.log().read_text()
    said = gang.log().read_text()
    assert f"step 12: the loss or its gradient is not finite for 6 of 6 groups; first rows: {rows}:" in said
    assert "second time" not in said
    out = tmp_path / "out"
    assert saved(out) == [5, 10] and points(out)[-1]["step"] == 11
    again = config_in(tmp_path, rows, resumeBeforeStep=10)
    complete(again)
    assert f"continuing from {out}/step-00000005" in again.with_suffix(".rank-0.log").read_text()
    assert saved(out) == [5, 10, 15, 20] and (out / "LATEST").read_text() == "step-00000020\n"
    (tmp_path / "whole").mkdir()
    sound = complete(config_in(tmp_path / "whole", rows))
    assert tensor_hashes(out, STEPS) == tensor_hashes(sound, STEPS)
    assert points(out) == points(sound)


@pytest.mark.filterwarnings("ignore:invalid value")
class TestOfOneProcess:
    def test_a_run_that_went_back_and_crashes_goes_on_from_what_it_saved_since(
        self, tmp_path: Path, rows: Path, whole: Path, at: At, capsys: pytest.CaptureFixture[str]
    ) -> None:
        fails(tmp_path, rows, at, 12)
        at(12, crash)
        with pytest.raises(RuntimeError):
            train(tmp_path, rows, resumeBeforeStep=10)
        at(-1, crash)
        out = train(tmp_path, rows, resumeBeforeStep=10)
        assert f"continuing from {out}/step-00000015" in capsys.readouterr().out
        assert tensor_hashes(out, STEPS) == tensor_hashes(whole, STEPS)
        assert points(out) == points(whole)

    def test_with_no_checkpoint_before_the_run_begins_again(
        self, tmp_path: Path, rows: Path, whole: Path, at: At
    ) -> None:
        fails(tmp_path, rows, at, 7)
        out = train(tmp_path, rows, resumeBeforeStep=5)
        assert tensor_hashes(out, STEPS) == tensor_hashes(whole, STEPS)
        assert points(out) == points(whole)

    def test_the_second_loss_that_is_not_finite_says_so(self, tmp_path: Path, rows: Path, at: At) -> None:
        fails(tmp_path, rows, at, 12)
        said = fails(tmp_path, rows, at, 7, resumeBeforeStep=10)
        assert said.startswith("step 12: the loss or its gradient is not finite for 6 of 6 groups; first rows: ")
        assert said.endswith("It is the second time: the run went back to before step 10 because of the first")

    def test_a_step_saved_again_with_other_weights_is_the_new_one_and_the_old_stays_aside(
        self, tmp_path: Path, rows: Path, at: At
    ) -> None:
        fails(tmp_path, rows, at, 12)
        before = tensor_hashes(tmp_path / "out", 10)
        out = train(tmp_path, rows, resumeBeforeStep=10, model__dropout="0")
        assert saved(out) == [5, 10, 15, 20]
        assert tensor_hashes(out, 10) != before
        aside = [json.loads(path.read_text()) for path in out.glob("aside-*/manifest.json")]
        assert [one["step"] for one in aside] == [10]

    def test_a_complete_run_with_a_larger_budget_goes_on_with_the_schedule_of_the_larger_one(
        self, tmp_path: Path, rows: Path, whole: Path
    ) -> None:
        train(tmp_path, rows)
        out = train(tmp_path, rows, budget__steps=2 * STEPS)
        curve = points(out)
        assert [point["step"] for point in curve] == list(range(1, 2 * STEPS + 1))
        assert curve[:STEPS] == points(whole) and "val_loss" in curve[-1]
        assert saved(out)[-1] == 2 * STEPS
        options = config.load(tmp_path / "run.json").optimizer
        assert learning_rate(options, STEPS, 2 * STEPS) > 2 * learning_rate(options, STEPS - 1, STEPS)

    def test_a_run_in_epochs_goes_on_with_more_of_them(self, tmp_path: Path, rows: Path) -> None:
        out = train(tmp_path, rows, budget={"epochs": 1})
        first = saved(out)[-1]
        train(tmp_path, rows, budget={"epochs": 2})
        assert saved(out)[-1] == pytest.approx(2 * first, abs=1)
        state = json.loads((out / f"step-{saved(out)[-1]:08d}" / "state.json").read_text())
        assert state["dataCursor"] == 6 * saved(out)[-1]

    def test_the_time_of_training_in_a_step_counts_what_was_lost_and_done_again_once(
        self, tmp_path: Path, rows: Path, at: At
    ) -> None:
        def seconds(step: int) -> float:
            state = json.loads((tmp_path / "out" / f"step-{step:08d}" / "state.json").read_text())
            return float(state["trainSeconds"])

        at(0, lambda stepper: time.sleep(PAUSE_SECONDS))
        train(tmp_path, rows, budget__steps=14)
        for name in ("step-00000014", "LATEST"):
            path = tmp_path / "out" / name
            path.rename(tmp_path / f"lost-{name}")  # as if it had not been reached
        before = seconds(10)
        assert 10 * PAUSE_SECONDS < before < 30 * PAUSE_SECONDS
        train(tmp_path, rows, budget__steps=15)
        assert before + 5 * PAUSE_SECONDS < seconds(15) < before + 25 * PAUSE_SECONDS

    def test_checkpoints_that_others_refer_to_stay(self, tmp_path: Path, rows: Path) -> None:
        keep = {"checkpoint__keepLast": 1, "checkpoint__keepBest": 0, "checkpoint__keepSteps": [5, 15]}
        assert saved(train(tmp_path, rows, **keep)) == [5, 15, 20]


def test_fewer_and_more_workers_read_on_at_the_same_place_of_the_data(tmp_path: Path, rows: Path) -> None:
    same = {"model__dropout": "0", "optimizer__schedule": "constant", "optimizer__warmupPercent": 0}
    for steps, workers in ((5, 2), (10, 1), (15, 2)):
        config_path = config_in(tmp_path, rows, **same, budget__steps=steps, gang__workers=workers)
        complete(config_path, workers)
        if workers == 1:
            said = config_path.with_suffix(".rank-0.log").read_text()
            assert "1 processes now, 2 before: not bit for bit the uninterrupted run" in said
    (tmp_path / "alone").mkdir()
    curves = [points(tmp_path / "out"), points(train(tmp_path / "alone", rows, **same, budget__steps=15))]
    assert [point["tokens"] for point in curves[0]] == [point["tokens"] for point in curves[1]]
    losses = [[point["train_loss"] for point in curve] for curve in curves]
    assert losses[0] == pytest.approx(losses[1], abs=5e-4)
