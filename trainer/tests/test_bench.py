"""The bench of the trainer (bench/trainer), as far as it runs without TRL."""

import sys
from pathlib import Path

import numpy as np
import pytest

BENCH = Path(__file__).parents[2] / "bench" / "trainer"
sys.path.insert(0, str(BENCH))

import lengths  # noqa: E402
import limits  # noqa: E402
import workload  # noqa: E402
from backbone import write_weights  # noqa: E402
from processes import Contender, Match  # noqa: E402
from sizes import SIZES  # noqa: E402

SIZE = SIZES["quick"]


def contender(folder: Path, tokens: str) -> Contender:
    spec = {
        "side": "ours",
        "size": "quick",
        "threads": 1,
        "device": "cpu",
        "weights": str(folder / "weights"),
        "tokens": str(folder / tokens),
    }
    return Contender("ours", Path(sys.executable), spec)


def test_committed_lengths_are_those_that_the_seed_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    committed = lengths.FILE.read_bytes()
    monkeypatch.setattr(lengths, "FILE", tmp_path / "lengths.csv")
    lengths.write()
    assert (tmp_path / "lengths.csv").read_bytes() == committed


def test_candidates_of_a_group_share_all_but_their_continuations(tmp_path: Path) -> None:
    workload.save(tmp_path / "tokens.npz", workload.paper_like(SIZE, 3))
    rows = lengths.read(SIZE.pairs, SIZE.scale)
    for row, group in zip(rows, workload.load(tmp_path / "tokens.npz"), strict=True):
        shared = 2 + 2 * row.prompt + row.reference
        assert [len(s) - shared - 1 for s in group] == list(row.candidates[:3])
        assert all(np.array_equal(s[:shared], group[0][:shared]) for s in group)


def test_padding_counts_as_work_of_the_other_side() -> None:
    groups = [[np.arange(10, dtype=np.int32), np.arange(7, dtype=np.int32)]]
    exact = limits.padded_flops(SIZE, [(1, 10), (1, 7)])
    assert exact == limits.group_flops(SIZE, groups).naive
    assert limits.padded_flops(SIZE, [(2, 10)]) > exact


def test_a_contender_times_an_epoch_a_turn_and_says_its_memory(tmp_path: Path) -> None:
    write_weights(SIZE, tmp_path / "weights")
    workload.save(tmp_path / "tokens.npz", workload.paper_like(SIZE, 2))
    with Match([contender(tmp_path, "tokens.npz")], tmp_path) as match:
        found = match.play(warm_ups=1, most_rounds=2, deadline=float("inf"))["ours"]
    assert len(found.seconds) == 2 and min(found.seconds) > 0
    assert 0 < found.memory["peak_mib"] < found.memory["high_water_mib"]
    assert found.rounds[1]["loss"] < found.rounds[0]["loss"]


def test_a_contender_that_ends_early_is_an_error(tmp_path: Path) -> None:
    broken = Contender("ours", Path("/bin/false"), contender(tmp_path, "tokens.npz").spec)
    with pytest.raises(RuntimeError, match="ours: expected ready, got ''"):
        Match([broken], tmp_path)
