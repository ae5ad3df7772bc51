"""Hangs, replicas that differ and slow ranks in real processes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from programs import Gang, start_server
from run_documents import pretrain_document, trajectory_rows, write_json, write_jsonl

from polar.hang import Record, Seen, place, told
from polar.replicas import CHUNK, differences, fingerprint
from polar.stragglers import WINDOW, Stragglers
from polar.watch import FLOOR_SECONDS, UNKNOWN_SECONDS, Watch

TIMEOUT = 2


@pytest.fixture(scope="module", autouse=True)
def server() -> None:
    start_server()


@pytest.fixture
def gang(tmp_path: Path) -> Iterator[Any]:
    """Starts two ranks of the faulty program."""
    started: list[Gang] = []

    def start(fault: str, **changes: Any) -> Gang:
        rows = write_jsonl(tmp_path / "rows.jsonl", trajectory_rows())
        watch = {"hangTimeoutSeconds": TIMEOUT if fault.startswith("hang") else 0, "hashEverySteps": 4}
        document = pretrain_document(tmp_path / "out", rows, gang__workers=2, watch=watch, **changes)
        document["run"]["name"] = fault
        started.append(Gang(write_json(tmp_path / "run.json", document), ranks=2, program="faulty_program"))
        return started[-1]

    yield start
    for one in started:
        one.kill()


def test_a_rank_that_hangs_ends_the_gang_with_16_and_the_stacks_of_both_ranks(gang: Any) -> None:
    two = gang("hang-1-7", budget__steps=1000)
    assert two.wait(60) == [16, 16], two.log().read_text()
    log, hung = two.log(0).read_text(), two.log(1).read_text()
    said = "rank 1 did not finish step 7 for "
    assert said in log and "in hang_here (faulty_program.py:" in log and "rank 0 waits in " in log
    assert "Hung: " + said in hung
    assert 'faulty_program.py", line' in hung and "hang_here" in hung and "step.py" in log


def test_a_failed_rank_ends_peers_that_do_not_notice_that_it_is_gone(gang: Any) -> None:
    two = gang("fail-1-7", budget__steps=1000)
    assert two.wait(60) == [11, 11], two.log().read_text()
    assert "rank 0: DataInvalid: rank 1: rows.jsonl line 7: bad" in two.log().read_text()


def test_a_flipped_bit_in_one_rank_ends_the_gang_with_17_before_the_checkpoint_is_written(gang: Any) -> None:
    two = gang("flip-1-7", budget__steps=1000)
    assert two.wait(60) == [17, 17], two.log().read_text()
    log = two.log().read_text()
    assert "ReplicasDiffer: step 8: no weights are those of most ranks; ranks first differ in model." in log
    saved = sorted(path.name for path in (two.config.parent / "out").glob("step-*"))
    assert saved == ["step-00000005"]


def test_a_rank_that_is_slow_is_named_while_training_goes_on(gang: Any) -> None:
    two = gang("slow-1-5", budget__steps=40, validation__everySteps=100, checkpoint__everySteps=100)
    assert two.wait(60) == [0, 0], two.log().read_text()
    lines = [line for line in two.log(0).read_text().splitlines() if "slow" in line]
    assert len(lines) == 1 and lines[0].startswith("rank 1 (worker 1) is slow: its part of a step takes 0.0")


def test_the_limit_of_a_phase_follows_its_usual_duration() -> None:
    watch = Watch()
    watch.mark("step", 1)
    assert watch.limit("step") == UNKNOWN_SECONDS
    for step in range(2, 6):
        watch.mark("step", step)
    assert watch.limit("step") == FLOOR_SECONDS
    watch.limit_to(7)
    assert (watch.limit("step"), watch.limit("save"), watch.limit("validation")) == (7, 1800, 1800)


def record(rank: int, **values: Any) -> Record:
    usual = {"beat": 9, "phase": "step", "step": 120, "quiet": 130.0, "limit": 120.0}
    return Record(rank=rank, **{**usual, "where": "all_reduce", **values})


def test_a_hang_names_the_rank_that_the_others_wait_for() -> None:
    others = [Seen(record(1), True), Seen(record(2), True)]
    behind = Seen(record(3, step=119, where="read (loader.py:7)"), True)
    assert told(record(0), [*others, behind], True) == (
        "rank 3 did not finish step 119 for 130 s: in read (loader.py:7); ranks 0, 1, 2 wait in all_reduce")
    stopped = Seen(record(3, quiet=0.1, where=""), False)
    assert told(record(0), [stopped], True).startswith("rank 3 did not finish step 120 for 130 s: stopped, or stuck in")
    parted = Seen(record(3, phase="end", step=0), False)
    assert told(record(0, where="read (loader.py:7)"), [parted], True).startswith("rank 0 did not finish step 120")
    busy = Seen(record(3, where="backward"), True)
    assert told(record(0), [busy], True) == "ranks 0, 3 did not finish step 120 for 130 s: in all_reduce"


def test_a_phase_that_only_one_rank_has_does_not_hide_who_is_behind() -> None:
    baseline = {"phase": "style baseline", "where": "fit (baseline.py:3)"}
    assert told(record(0, **baseline), [Seen(record(1, step=121), True)], True).startswith(
        "rank 0 did not finish the style baseline of step 120 for 130 s: in fit (baseline.py:3); rank 1 waits in all_")
    before = [("start", 0), ("data", 0), ("warm start", 9)]
    order = [*before, ("save", 0), ("step", 1), ("validation", 1), ("step", 2), ("end", 0)]
    places = [place(record(0, phase=phase, step=step)) for phase, step in order]
    assert places == sorted(places)


def test_a_peer_in_a_long_phase_is_waited_for_even_when_it_is_silent() -> None:
    saving = {"phase": "save", "limit": 1800.0}
    assert Seen(record(1, **saving), True).may_work(121) and Seen(record(1, **saving), False).may_work(121)
    assert not Seen(record(1, **saving, ), False).may_work(1801)
    assert not Seen(record(1, quiet=0.0), False).may_work(121) and Seen(record(1, quiet=0.0), True).may_work(121)


def test_every_changed_bit_changes_the_fingerprint() -> None:
    chunk = CHUNK["cpu"]
    weights = torch.randn(chunk + 100, generator=torch.Generator().manual_seed(1))
    before = fingerprint(weights)
    for word, bit in ((0, 31), (17, 0), (chunk - 1, 30), (chunk + 99, 5)):
        words = weights.clone()
        words.view(torch.int32)[word] ^= 1 << bit if bit < 31 else -(2**31)
        assert fingerprint(words) != before
    assert fingerprint(weights.clone()) == before
    assert fingerprint(weights.to(torch.bfloat16)) != fingerprint(weights.to(torch.float16))


def test_the_ranks_in_the_minority_and_the_first_parameter_are_named() -> None:
    names = ["a", "b", "c"]
    assert differences(names, [[1, 2, 3], [1, 2, 3], [1, 9, 4]]) == (
        "the weights of rank 2 are not those of the other ranks; first in b")
    assert differences(names, [[1, 2, 3], [1, 2, 4]]).endswith("ranks first differ in c")


def test_a_slow_rank_is_named_once_and_again_when_it_is_no_longer_slow() -> None:
    stragglers = Stragglers(processes_per_worker=2)
    said = [stragglers.add([1.0, 1.1, 0.9, 1.7]) for _ in range(2 * WINDOW)]
    assert [line for lines in said for line in lines] == [
        "rank 3 (worker 1) is slow: its part of a step takes 1.7 s, 1.7 times the others'"]
    assert stragglers.slow == {3: pytest.approx(1.7)}
    after = [line for _ in range(2 * WINDOW) for line in stragglers.add([3.0, 3.1, 2.9, 3.2])]
    assert after == ["rank 3 (worker 1) is no longer slow"] and not stragglers.slow


def test_a_rank_that_is_slow_in_a_few_steps_is_not_named() -> None:
    stragglers = Stragglers(processes_per_worker=1)
    assert not [line for step in range(100) for line in stragglers.add([1.0, 9.0 if step % 5 == 0 else 1.0])]
