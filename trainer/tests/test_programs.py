"""Whole runs as real processes: what they leave behind, and what kills, signals and bad input do to them."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from programs import Gang, complete, points, start_server, tensor_hashes
from run_documents import (
    finetune_document,
    preference_rows,
    pretrain_document,
    trajectory_rows,
    write_json,
    write_jsonl,
)

from polar import pretrain
from polar.errors import CheckpointError, ConfigError, DataError, PolarError

GOLDEN = Path(__file__).parent / "testdata" / "losses_tiny_cpu.txt"
STEPS = 60
STEPS_OF_TWO = 30


@pytest.fixture(scope="module", autouse=True)
def server() -> None:
    start_server()


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_jsonl(tmp_path_factory.mktemp("data") / "rows.jsonl.gz", trajectory_rows())


@pytest.fixture(scope="module")
def triplets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_jsonl(tmp_path_factory.mktemp("data") / "triplets.jsonl", preference_rows())


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, rows: Path) -> Path:
    return complete(config_in(tmp_path_factory.mktemp("trained"), rows, budget__steps=STEPS))


@pytest.fixture(scope="module")
def trained_by_two(tmp_path_factory: pytest.TempPathFactory, rows: Path) -> Path:
    return complete(
        config_in(tmp_path_factory.mktemp("two"), rows, gang__workers=2, budget__steps=STEPS_OF_TWO), ranks=2
    )


def config_in(directory: Path, data: Path, **changes: Any) -> Path:
    changes = {"checkpoint__keepLast": 100} | changes
    return write_json(directory / "run.json", pretrain_document(directory / "out", data, **changes))


def losses(directory: Path) -> list[float]:
    return [point["train_loss"] for point in points(directory)]


def steps_saved(directory: Path) -> list[int]:
    return sorted(int(path.parent.name.removeprefix("step-")) for path in directory.glob("step-*/manifest.json"))


def same_run(one: Path, other: Path, step: int) -> None:
    assert tensor_hashes(one, step) == tensor_hashes(other, step)
    assert points(one) == points(other)


def test_the_losses_of_the_tiny_run_are_the_recorded_ones(trained: Path) -> None:
    got = losses(trained)[:20]
    if os.environ.get("UPDATE_TESTDATA"):
        GOLDEN.write_text("".join(f"{value!r}\n" for value in got))
    assert got == pytest.approx([float(line) for line in GOLDEN.read_text().split()], abs=1e-5)


def test_training_lowers_the_loss_and_validation_tells_policies_apart_on_unseen_prompts(trained: Path) -> None:
    got = losses(trained)
    assert sum(got[-5:]) < 0.75 * sum(got[:5])
    last = points(trained)[-1]
    assert last["step"] == STEPS
    assert last["val_accuracy"] > 0.8


def test_every_checkpoint_has_a_validation_loss_and_the_newest_is_the_last_step(trained: Path) -> None:
    manifests = [json.loads(path.read_text()) for path in sorted(trained.glob("step-*/manifest.json"))]
    assert [m["step"] for m in manifests] == list(range(5, STEPS + 1, 5))
    assert all(m["valLoss"] > 0 for m in manifests)
    assert (trained / "LATEST").read_text() == f"step-{STEPS:08d}\n"


def test_a_killed_run_resumes_to_the_same_bits_as_one_that_was_never_killed(
    tmp_path: Path, rows: Path, trained: Path
) -> None:
    config = config_in(tmp_path, rows, budget__steps=STEPS)
    out = tmp_path / "out"
    for step in (10, 35):
        gang = Gang(config)
        gang.wait_until((out / f"step-{step:08d}" / "manifest.json").exists)
        gang.kill()
        assert not (out / f"step-{STEPS:08d}").exists()
    same_run(complete(config), trained, STEPS)


def test_saving_by_time_with_a_kill_in_between_gives_the_weights_of_a_run_that_saves_by_steps(
    tmp_path: Path, rows: Path, trained_by_two: Path
) -> None:
    changes = {"checkpoint__everySteps": None, "checkpoint__everySeconds": 1, "validation__everySteps": 1000}
    config = config_in(tmp_path, rows, gang__workers=2, budget__steps=STEPS_OF_TWO, **changes)
    gang = Gang(config, ranks=2, program="slow_program")
    gang.wait_until(lambda: len(steps_saved(tmp_path / "out")) >= 2)
    gang.kill()
    saved = steps_saved(tmp_path / "out")
    assert 0 < saved[0] < saved[1] < STEPS_OF_TWO
    complete(config, ranks=2)
    assert tensor_hashes(tmp_path / "out", STEPS_OF_TWO) == tensor_hashes(trained_by_two, STEPS_OF_TWO)
    assert losses(tmp_path / "out") == losses(trained_by_two)
    states = [json.loads((tmp_path / "out" / f"step-{step:08d}" / "state.json").read_text()) for step in saved]
    assert 0.9 < states[1]["trainSeconds"] - states[0]["trainSeconds"] < 10
    assert states[0]["saveCost"] is None and 0 < states[1]["saveCost"] < 5


def test_sigterm_saves_at_once_and_the_next_attempt_continues_to_the_same_bits(
    tmp_path: Path, rows: Path, trained_by_two: Path
) -> None:
    config = config_in(tmp_path, rows, gang__workers=2, budget__steps=STEPS_OF_TWO)
    gang = Gang(config, ranks=2)
    gang.wait_until((tmp_path / "out" / "step-00000005" / "manifest.json").exists)
    gang.terminate(1)  # one rank is told, both must stop at the same step
    assert gang.wait() == [20, 20], gang.log().read_text()
    newest = (tmp_path / "out" / "LATEST").read_text().strip()
    saved = int(newest.removeprefix("step-"))
    assert f"stopped at step {saved} of {STEPS_OF_TWO} after saving" in gang.log().read_text()
    assert points(tmp_path / "out")[-1]["step"] == saved < STEPS_OF_TWO
    same_run(complete(config, ranks=2), trained_by_two, STEPS_OF_TWO)


def test_two_workers_train_on_the_batches_of_one(tmp_path: Path, rows: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "2").mkdir()
    one = complete(config_in(tmp_path / "1", rows, model__dropout="0"))
    two = complete(config_in(tmp_path / "2", rows, model__dropout="0", gang__workers=2), ranks=2)
    assert losses(two) == pytest.approx(losses(one), abs=2e-4)
    assert [p["tokens"] for p in points(two)] == [p["tokens"] for p in points(one)]
    assert points(two)[4]["val_loss"] == pytest.approx(points(one)[4]["val_loss"], abs=1e-4)


def test_rows_and_tokens_are_kept_across_a_kill_and_gone_with_the_last_step(tmp_path: Path, rows: Path) -> None:
    config = config_in(tmp_path, rows, budget__steps=STEPS)
    gang = Gang(config)
    gang.wait_until((tmp_path / "out" / "step-00000005" / "manifest.json").exists)
    gang.kill()
    kept = sorted((tmp_path / "out").glob("data-*"))
    assert [path.name.rpartition("-")[0] for path in kept] == ["data-rows", "data-tokens"]
    made = [(path / "manifest.json").stat().st_ino for path in kept]
    gang = Gang(config)
    gang.wait_until((tmp_path / "out" / "step-00000015" / "manifest.json").exists)
    assert [(path / "manifest.json").stat().st_ino for path in kept] == made
    assert gang.wait() == [0]
    assert not any(path.name.startswith((".", "data-")) for path in (tmp_path / "out").iterdir())


def test_malformed_rows_end_all_workers_before_training_starts(tmp_path: Path) -> None:
    rows = write_jsonl(tmp_path / "rows.jsonl", [*trajectory_rows(), {"prompt": "p"}])
    gang = Gang(config_in(tmp_path, rows, gang__workers=2), ranks=2)
    assert gang.wait() == [DataError.exit_code] * 2
    assert "rows.jsonl:97: output: expected a string" in gang.log(1).read_text()


def test_two_workers_warm_up_like_one(tmp_path: Path, rows: Path) -> None:
    warm = {"policyClassification": {"steps": 10, "batchTrajectories": 12, "learningRate": "0.003"}}
    (tmp_path / "1").mkdir()
    (tmp_path / "2").mkdir()
    changes = {"model__dropout": "0", "warmStart": warm, "budget__steps": 5}
    one = complete(config_in(tmp_path / "1", rows, **changes))
    two = complete(config_in(tmp_path / "2", rows, **changes, gang__workers=2), ranks=2)
    assert losses(two) == pytest.approx(losses(one), abs=1e-3)


def test_more_workers_than_warm_start_pairs_all_have_work(tmp_path: Path, rows: Path) -> None:
    warm = {"policyClassification": {"steps": 3, "batchTrajectories": 2, "learningRate": "0.003"}}
    complete(config_in(tmp_path, rows, warmStart=warm, budget__steps=1, gang__workers=2), ranks=2)


def test_a_finished_run_that_is_started_again_ends_at_once(trained: Path) -> None:
    before = points(trained)
    assert complete(trained.parent / "run.json") == trained
    assert points(trained) == before


def test_resuming_with_another_number_of_workers_works_and_says_that_it_is_not_the_same_run(
    tmp_path: Path, rows: Path, trained: Path
) -> None:
    shutil.copytree(trained, tmp_path / "out")
    config = config_in(tmp_path, rows, gang__workers=2, budget__steps=STEPS + 1)
    assert points(complete(config, ranks=2))[-1]["step"] == STEPS + 1
    said = config.with_suffix(".rank-0.log").read_text()
    assert "2 processes now, 1 before: not bit for bit the uninterrupted run" in said


def test_a_warm_start_is_saved_as_step_zero_and_not_repeated(tmp_path: Path, rows: Path) -> None:
    warm = {"policyClassification": {"steps": 6, "batchTrajectories": 8, "learningRate": "0.003"}}
    config = config_in(tmp_path, rows, warmStart=warm, budget__steps=STEPS)
    gang = Gang(config)
    gang.wait_until((tmp_path / "out" / "step-00000010" / "manifest.json").exists)
    gang.kill()
    assert "warm start 6/6" in gang.log().read_text()
    complete(config)
    assert "warm start" not in gang.log().read_text()


def test_a_warm_start_that_is_killed_is_repeated_to_the_same_weights(tmp_path: Path, rows: Path) -> None:
    warm = {"policyClassification": {"steps": 40, "batchTrajectories": 8, "learningRate": "0.003"}}
    config = config_in(tmp_path, rows, warmStart=warm, budget__steps=5)
    gang = Gang(config)
    gang.wait_until(lambda: b"warm start 10/40" in gang.log().read_bytes())
    gang.kill()
    assert not list((tmp_path / "out").glob("step-*"))
    complete(config)
    (tmp_path / "again").mkdir()
    again = complete(config_in(tmp_path / "again", rows, warmStart=warm, budget__steps=5))
    same_run(tmp_path / "out", again, 5)


def test_cross_prompt_pairs_and_unseen_policies_are_validated(tmp_path: Path, rows: Path) -> None:
    config = config_in(tmp_path, rows, data__pairing="crossPrompt", validation__heldOutPolicies=2, budget__steps=5)
    out = complete(config)
    state = json.loads((out / "step-00000005" / "state.json").read_text())
    assert state["validation"]["unseen"]["pairs"] > 0
    assert 0 <= state["styleBaseline"]["unseen"] <= 1


def test_the_ablation_without_references_trains(tmp_path: Path, rows: Path) -> None:
    changes = {"data__reference": "omit", "data__responseCutSide": "left", "data__emptyResponse": "omit"}
    pretrain.main(str(config_in(tmp_path, rows, budget__steps=2, **changes)), {})
    assert points(tmp_path / "out")[-1]["step"] == 2


def test_fine_tuning_starts_from_a_pre_trained_checkpoint_and_resumes_by_itself(
    tmp_path: Path, trained: Path, triplets: Path
) -> None:
    init = trained / f"step-{STEPS:08d}"
    document = finetune_document(tmp_path / "out", triplets, init, budget={"epochs": 3})
    config = write_json(tmp_path / "run.json", document)
    out = complete(config)
    assert points(out)[-1]["step"] == 9  # 18 training triplets, 6 a step, three times
    manifest = json.loads((out / "step-00000009" / "manifest.json").read_text())
    wanted = json.loads((init / "manifest.json").read_text())
    assert manifest["parent"] is not None
    assert json.loads((out / "step-00000009" / "state.json").read_text())["model"]["hiddenSize"] == 32
    assert (out / "step-00000009" / "tokenizer.json").read_bytes() == (init / "tokenizer.json").read_bytes()
    assert wanted["files"]["tokenizer.json"] == manifest["files"]["tokenizer.json"]


@pytest.mark.parametrize(
    ("changes", "error", "wanted"),
    [
        ({"data__path": "/nowhere/rows.jsonl"}, DataError, "/nowhere/rows.jsonl: no such file or folder"),
        ({"optimizer__schedule": "linear"}, ConfigError, "optimizer.schedule: expected cosine or constant"),
        ({"model__init": {"path": "/nowhere/step-00000005"}}, CheckpointError, "/nowhere/step-00000005"),
        ({"model__tokenizer": {"path": "/nowhere"}}, ConfigError, "model.tokenizer.path: cannot read /nowhere"),
        ({"validation__heldOutPolicies": 3}, DataError, "at least 2 policies for training beside 3 held out, got 4"),
        ({"data__pairing": "crossPrompt", "validation__heldOutPromptPercent": 1}, DataError, "seen policies: no pair"),
    ],
)
def test_what_a_user_can_get_wrong_is_named(
    tmp_path: Path, rows: Path, changes: dict[str, Any], error: type[PolarError], wanted: str
) -> None:
    with pytest.raises(error) as caught:
        pretrain.main(str(config_in(tmp_path, rows, **changes)), {})
    assert wanted in str(caught.value)
