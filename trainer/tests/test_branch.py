"""Cooldowns branched from a trunk, as real processes."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from programs import Gang, complete, points, start_server, tensor_hashes
from run_documents import pretrain_document, trajectory_rows, write_json, write_jsonl

from polar import distributed
from polar.config import parse
from polar.errors import ConfigError
from polar.start import find_start

STEPS, BRANCH = 10, 5
CONSTANT: dict[str, Any] = {"optimizer__schedule": "constant"}
BY_THE_HOUR: dict[str, Any] = {
    "checkpoint__everySteps": None, "checkpoint__everySeconds": 3600, "checkpoint__keepLast": 1,
    "checkpoint__keepBest": 0,
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def server() -> None:
    start_server()


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_jsonl(tmp_path_factory.mktemp("data") / "rows.jsonl", trajectory_rows())


@pytest.fixture(scope="module")
def trunk(tmp_path_factory: pytest.TempPathFactory, rows: Path) -> Path:
    directory = tmp_path_factory.mktemp("trunk")
    document = pretrain_document(directory / "out", rows, budget__steps=STEPS, optimizer__schedule="constant")
    return complete(write_json(directory / "run.json", document))


def branch_in(directory: Path, rows: Path, trunk: Path, **changes: Any) -> Path:
    """Config of a run that continues the trunk; dimensions and tokenizer come with the checkpoint."""
    changes = {"model": {"dropout": "0.1"}, "resumeFrom": {"path": str(trunk / f"step-{BRANCH:08d}")}} | changes
    return write_json(directory / "run.json", pretrain_document(directory / "out", rows, **changes))


def state_of(directory: Path, step: int) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((directory / f"step-{step:08d}" / "state.json").read_text())
    return found


def test_a_branch_with_the_settings_of_its_trunk_becomes_the_trunk_bit_for_bit(
    tmp_path: Path, rows: Path, trunk: Path
) -> None:
    config = branch_in(tmp_path, rows, trunk, budget__steps=STEPS, optimizer__schedule="constant")
    branch = complete(config)
    assert tensor_hashes(branch, STEPS) == tensor_hashes(trunk, STEPS)
    assert points(branch) == points(trunk)[BRANCH:]


def test_a_cooldown_continues_after_a_loss_of_its_last_steps_as_if_it_had_not_been_lost(
    tmp_path: Path, rows: Path, trunk: Path
) -> None:
    options = {"optimizer__schedule": "wsd", "optimizer__minLearningRatePercent": 0, "budget__steps": 12}
    config = branch_in(tmp_path, rows, trunk, **options)
    branch = complete(config)
    cooled = tensor_hashes(branch, 12)
    assert state_of(branch, 12)["branchedAt"] == BRANCH
    assert cooled != tensor_hashes(trunk, STEPS)
    shutil.rmtree(branch / "step-00000012")
    assert tensor_hashes(complete(config), 12) == cooled


@pytest.mark.parametrize(
    ("change", "want"),
    [
        ({"seed": 8}, "seed: expected 3 as in the run that resumeFrom continues, got 8"),
        ({"validation__heldOutPromptPercent": 30}, "validation.heldOutPromptPercent: expected 25 as in the run"),
        ({"data__negativesPerPositive": 1}, "data.negativesPerPositive: expected 2 as in the run"),
    ],
)
def test_a_branch_that_draws_or_holds_out_other_groups_than_its_trunk_is_refused(
    tmp_path: Path, rows: Path, trunk: Path, change: dict[str, Any], want: str
) -> None:
    config = parse(json.loads(branch_in(tmp_path, rows, trunk, budget__steps=STEPS, **change).read_text()))
    with pytest.raises(ConfigError, match=re.escape(want)):
        find_start(config, distributed.setup(0))


def test_other_rows_than_the_trunks_are_refused_and_a_copy_of_its_rows_is_not(
    tmp_path: Path, rows: Path, trunk: Path
) -> None:
    copy = Path(shutil.copy(rows, tmp_path / "copy.jsonl"))
    other = write_jsonl(tmp_path / "other.jsonl", [*trajectory_rows(), *trajectory_rows(prompts=13)[-8:]])
    options = {"budget__steps": 6, "optimizer__schedule": "constant"}
    (tmp_path / "same").mkdir()
    complete(branch_in(tmp_path / "same", copy, trunk, **options))
    (tmp_path / "more").mkdir()
    gang = Gang(branch_in(tmp_path / "more", other, trunk, **options))
    assert gang.wait() == [11]
    assert f"other.jsonl: expected the rows of the first {BRANCH} steps (" in gang.log().read_text()


def steps_in(directory: Path) -> list[int]:
    return sorted(int(path.name.removeprefix("step-")) for path in directory.glob("step-*"))


def test_a_trunk_keeps_its_branch_points_and_a_cooldown_from_one_is_the_whole_run_bit_for_bit(
    tmp_path: Path, rows: Path
) -> None:
    folders = {name: tmp_path / name for name in ("whole", "trunk", "branch")}
    for folder in folders.values():
        folder.mkdir()
    wsd = {"optimizer__schedule": "wsd", "optimizer__cooldownPercent": 20, "budget__steps": STEPS}
    document = pretrain_document(folders["whole"] / "out", rows, **wsd)
    whole = complete(write_json(folders["whole"] / "run.json", document))
    changes = {**BY_THE_HOUR, **CONSTANT, "budget__steps": 8, "checkpoint__keepSteps": [4, 8, 40]}
    document = pretrain_document(folders["trunk"] / "out", rows, **changes)
    trunk = complete(write_json(folders["trunk"] / "run.json", document))
    assert steps_in(trunk) == [4, 8]
    start = {"resumeFrom": {"path": str(trunk / "step-00000008")}}
    branch = complete(branch_in(folders["branch"], rows, trunk, **wsd, **start))
    assert tensor_hashes(branch, STEPS) == tensor_hashes(whole, STEPS)


def test_a_trunk_is_made_longer_and_keeps_the_branch_points_it_had(tmp_path: Path, rows: Path) -> None:
    changes = {**BY_THE_HOUR, **CONSTANT, "checkpoint__keepSteps": [2, 4, 6, 8]}
    config = write_json(tmp_path / "run.json", pretrain_document(tmp_path / "out", rows, **changes, budget__steps=4))
    assert steps_in(complete(config)) == [2, 4]
    write_json(config, pretrain_document(tmp_path / "out", rows, **changes, budget__steps=8))
    assert steps_in(complete(config)) == [2, 4, 6, 8]


def test_branch_points_by_tokens_are_the_first_steps_that_reach_them(tmp_path: Path, rows: Path, trunk: Path) -> None:
    seen = {point["step"]: point["tokens"] for point in points(trunk)}
    wanted = [seen[2], seen[4] + 1, seen[STEPS] + 1]
    changes = {**BY_THE_HOUR, **CONSTANT, "budget__steps": 8, "checkpoint__keepTokens": wanted}
    config = write_json(tmp_path / "run.json", pretrain_document(tmp_path / "out", rows, **changes))
    kept = complete(config)
    assert steps_in(kept) == [2, 5, 8]
    assert {point["step"]: point["tokens"] for point in points(kept)} == {n: seen[n] for n in range(1, 9)}
