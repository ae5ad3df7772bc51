from pathlib import Path
from typing import Any

import pytest
from run_documents import pretrain_document

from polar import config, progress
from polar.distributed import Dist
from polar.model import ModelSize
from polar.progress import Progress
from polar.state import TrainState
from polar.step import StepResult


class Told:
    """Keeps what would be sent."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def progress(self, **values: Any) -> None:
        self.sent.append(values)

    def point(self, **_values: Any) -> None:
        return

    def tail(self) -> list[Any]:
        return []


def stepped(tmp_path: Path, dist: Dist) -> tuple[Progress, Told, dict[str, Any]]:
    run = config.parse(pretrain_document(tmp_path, tmp_path))
    told = Told()
    shown = Progress(told, {}, run, dist)  # type: ignore[arg-type]
    shown.begin(TrainState(), 10, ModelSize(10, 5))
    state = TrainState(step=1)
    result = StepResult(
        loss=0.5,
        accuracy=0.5,
        tokens=100,
        computed_tokens=120,
        gradient_norm=1.0,
        seconds=2.0,
        wait_seconds=0.5,
        useful_flops=8e12,
    )
    shown.trained(state, result, validated=False)
    return shown, told, told.sent[-1]


def test_utilisation_is_useful_flops_over_the_peak_of_all_devices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "device_peak", lambda _device: 5e12)
    _, _, sent = stepped(tmp_path, Dist(rank=0, world_size=2))
    assert sent["mfu"] == pytest.approx(8e12 / 2 / (2 * 5e12))
    assert "mfu 40.0 %" in capsys.readouterr().out


def test_no_utilisation_is_told_where_the_peak_is_not_known(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, _, sent = stepped(tmp_path, Dist())
    assert sent["mfu"] is None
    assert "mfu" not in capsys.readouterr().out


def test_the_slowest_rank_is_told(tmp_path: Path) -> None:
    shown, told, sent = stepped(tmp_path, Dist())
    assert sent["straggler_rank"] is None
    shown.slow_ranks.update({3: 1.6, 5: 2.5})
    shown.begin(TrainState(), 10, ModelSize(10, 5))
    assert told.sent[-1]["straggler_rank"] == 5


def test_the_summary_says_from_which_step_the_attempt_went_on(tmp_path: Path) -> None:
    summary: dict[str, Any] = {}
    run = config.parse(pretrain_document(tmp_path, tmp_path))
    shown = Progress(Told(), summary, run, Dist())  # type: ignore[arg-type]
    shown.begin(TrainState(step=5), 10, ModelSize(10, 5))
    assert (summary["resumedFromStep"], summary["step"], summary["totalSteps"]) == (5, 5, 10)
