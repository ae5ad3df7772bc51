"""A worker's container from outside: exit code, termination message, and what SIGTERM and kills do to it.

Gangs are two real workers that meet on a loopback address, with torchrun and gloo; their program is `gang_program.py`.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from parallel_program import train

from polar.config_runtime import Engine
from polar.distributed import Dist

HERE = Path(__file__).parent
CONFIG: dict[str, Any] = json.loads((HERE / "testdata" / "launch_config.json").read_text())
ADDRESS, OTHER_ADDRESS = "127.0.0.2", "127.0.0.3"


class Worker:
    """A running `polar.launch`."""

    def __init__(self, directory: Path, config: dict[str, Any], plan: dict[str, Any], **environment: str) -> None:
        index = environment.get("JOB_COMPLETION_INDEX", "0")
        self.directory, self.term = directory, directory / f"termination-log-{index}"
        path = directory / "run.json"
        path.write_text(json.dumps(config))
        own = {
            "PYTHONPATH": f"{HERE.parent}:{HERE}", "GANG_PLAN": json.dumps(plan), "GANG_OUT": str(directory),
            "POLAR_TERMINATION_LOG": str(self.term), "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1",
        }
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "launch_stand_in.py"), "--config", str(path)], stderr=subprocess.PIPE,
            text=True, env={**os.environ, **own, **environment},
        )

    def wait_for(self, name: str, seconds: float = 120) -> str:
        """Waits for a file of the program and returns what is in it."""
        deadline = time.monotonic() + seconds
        while not (self.directory / name).exists() or not (self.directory / name).read_text():
            assert self.process.poll() is None and time.monotonic() < deadline, f"no {name}: {self.end()}"
            time.sleep(0.05)
        return (self.directory / name).read_text()

    def end(self, seconds: float = 180) -> tuple[int, dict[str, Any], str]:
        """Exit code, termination message and log."""
        log = self.process.communicate(timeout=seconds)[1]
        message = self.term.read_bytes() if self.term.exists() else b"{}"
        assert len(message) <= 4096
        return self.process.returncode, json.loads(message), log


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Any]:
    started: list[Worker] = []

    def start(plan: dict[str, Any] | None = None, config: dict[str, Any] | None = None, **environment: str) -> Worker:
        started.append(Worker(tmp_path, config or CONFIG, plan or {}, **environment))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.communicate()


@pytest.fixture
def gang(worker: Any) -> Iterator[Any]:
    """Starts two workers of one process or more; another pod on this host's network uses the same port."""
    with socket.create_server((OTHER_ADDRESS, 0)) as other:

        def start(plan: dict[str, Any], processes: int = 1) -> list[Worker]:
            shape = {"workers": 2, "masterAddress": ADDRESS, "masterPort": other.getsockname()[1]}
            shape["processesPerWorker"] = processes
            config = CONFIG | {"gang": CONFIG["gang"] | shape}
            return [worker(plan, config, JOB_COMPLETION_INDEX=str(index)) for index in (0, 1)]

        yield start


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_complete_run_exits_with_0_and_tells_where_it_ended(worker: Any) -> None:
    code, message, _ = worker().end()
    assert code == 0
    assert message == {"reason": "Complete", "message": "", "exitCode": 0, "attempt": 3, "step": 5, "totalSteps": 5,
                       "trainLoss": "0.2"}


def test_an_unknown_key_in_the_config_is_told_by_its_path_within_seconds(worker: Any) -> None:
    started = time.monotonic()
    code, message, _ = worker(config=CONFIG | {"optimizer": CONFIG["optimizer"] | {"momentum": "0.9"}}).end()
    assert (code, message["reason"], message["exitCode"]) == (10, "ConfigInvalid", 10)
    assert "optimizer.momentum" in message["message"] and time.monotonic() - started < 20


def test_a_completion_index_outside_the_gang_is_a_config_error(worker: Any) -> None:
    shape = CONFIG["gang"] | {"workers": 2}
    code, message, _ = worker(config=CONFIG | {"gang": shape}, JOB_COMPLETION_INDEX="2").end()
    assert code == 10 and message["message"] == "JOB_COMPLETION_INDEX: expected 0 to 1 (gang.workers is 2), got '2'"


@pytest.mark.parametrize(("what", "code", "reason", "words"), [
    ("data", 11, "DataInvalid", "rows.jsonl.gz line 7: expected a string, got 3"),
    ("nan", 13, "NonFiniteLoss", "step 3: loss is nan"),
    ("full", 14, "StorageFull", "No space left on device"),
    ("memory", 15, "OutOfMemory", "cannot allocate 9 GiB"),
    ("bug", 1, "Crashed", "ValueError: no such column: reward (gang_program.py:"),
    ("kill", 1, "Crashed", "rank 0 was killed by SIGKILL"),
    ("exit", 1, "Crashed", "rank 0 ended without a result (exit code 3)"),
])
def test_each_failure_has_its_exit_code_and_says_why(
    worker: Any, what: str, code: int, reason: str, words: str
) -> None:
    got, message, log = worker({"0": what}).end()
    assert (got, message["reason"], message["exitCode"]) == (code, reason, code)
    assert words in message["message"]
    if what not in ("kill", "exit"):
        assert message["step"] == 2 and "Traceback" in log


def test_sigterm_lets_the_program_save_and_ends_with_20(worker: Any) -> None:
    one = worker({"steps": 10_000, "pause": 0.02})
    one.wait_for("running-0")
    one.process.send_signal(signal.SIGTERM)
    code, message, _ = one.end()
    step = int((one.directory / "saved-0").read_text())
    assert (code, message["reason"], message["step"]) == (20, "Interrupted", step)
    assert message["message"] == f"saved at step {step}"


def test_a_rank_that_does_not_save_in_time_is_killed_before_the_grace_period_ends(worker: Any) -> None:
    one = worker({"0": "hang"}, POLAR_GRACE_SECONDS="4")
    pid = int(one.wait_for("running-0"))
    started = time.monotonic()
    one.process.send_signal(signal.SIGTERM)
    code, message, _ = one.end()
    assert code == 20 and time.monotonic() - started < 4 and not alive(pid)
    assert message["message"].startswith("stopped before it could save (rank 0 was killed by SIGKILL)")


def test_sigterm_while_worker_0_has_no_name_yet_ends_at_once(worker: Any) -> None:
    shape = CONFIG["gang"] | {"workers": 2, "masterAddress": "demo-0.demo.invalid"}
    one = worker(config=CONFIG | {"gang": shape}, JOB_COMPLETION_INDEX="1")
    line = one.process.stderr.readline()
    assert "waiting for worker 0's name demo-0.demo.invalid to resolve" in line
    one.process.send_signal(signal.SIGTERM)
    code, message, _ = one.end()
    assert (code, message["message"]) == (20, "stopped before training started")


def test_no_rank_outlives_a_killed_launcher(worker: Any) -> None:
    one = worker({"0": "hang"})
    pid = int(one.wait_for("running-0"))
    one.process.kill()
    one.process.communicate()
    deadline = time.monotonic() + 5
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(pid)


def test_two_workers_agree_and_both_complete(gang: Any) -> None:
    ends = [one.end() for one in gang({"exercise": True})]
    assert [code for code, _, _ in ends] == [0, 0]
    first = ends[0][1]
    assert first["any"] == [True, False] and first["max"] == [1, 0]
    assert first["mean"] == {"a": "2", "b": "0.5"} and first["sum"] == {"x": "2"}
    assert first["broadcast"] == ["from", 0, None] and first["main"] is True
    assert first["states"] == ["rank0.cpu", "rank1.cpu"]
    assert (first["restored"], first["repeats"], first["otherWorld"]) == (True, True, False)


def test_two_workers_of_two_processes_train_a_sharded_model_like_one_process(gang: Any) -> None:
    ends = [one.end() for one in gang({"shares": [3, 2, 0, 2]}, processes=2)]
    assert [code for code, _, _ in ends] == [0, 0], ends
    assert ends[0][1]["texts"] == ["", "é", "éé", "ééé"]
    alone = train(Dist(), Engine(precision="fp32"), [7])
    assert json.loads(ends[0][1]["losses"]) == pytest.approx(alone.losses, abs=1e-5)


def test_sigterm_to_one_worker_lets_all_ranks_save_the_same_step(gang: Any) -> None:
    workers = gang({"steps": 100_000, "pause": 0.01})
    for index, one in enumerate(workers):
        one.wait_for(f"running-{index}")
    workers[1].process.send_signal(signal.SIGTERM)
    ends = [one.end() for one in workers]
    assert [code for code, _, _ in ends] == [20, 20]
    saved = {(workers[0].directory / f"saved-{index}").read_text() for index in (0, 1)}
    assert len(saved) == 1


def test_a_ranks_data_error_is_the_reason_of_both_workers(gang: Any) -> None:
    ends = [one.end() for one in gang({"1": "data", "steps": 100_000})]
    assert [code for code, _, _ in ends] == [11, 11]
    assert ends[1][1]["message"] == "rows.jsonl.gz line 7: expected a string, got 3"
    assert ends[0][1]["message"] in (ends[1][1]["message"], f"rank 1: {ends[1][1]['message']}")


def test_a_killed_rank_is_named_by_its_worker_before_its_peer_gives_up(gang: Any) -> None:
    first, second = gang({"1": "kill", "steps": 100_000})
    code, message, _ = second.end()
    assert (code, message["message"]) == (1, "rank 1 was killed by SIGKILL")
    assert first.process.poll() is None
    code, message, _ = first.end()
    assert code == 1 and message["message"].startswith("lost the connection to another rank: ")


def test_a_rank_in_native_code_that_keeps_the_interpreter_is_ended_with_its_stacks(worker: Any) -> None:
    started = time.monotonic()
    code, message, log = worker({"0": "keep the lock", "watch": 1, "at": 8, "steps": 9, "pause": 0.3}).end()
    assert (code, message["reason"]) == (16, "Hung") and time.monotonic() - started < 12
    assert "rank 0 does not run for " in message["message"] and "(step " in message["message"]
    assert 'gang_program.py", line' in log and "in act" in log


def test_a_rank_that_was_frozen_for_a_while_goes_on(worker: Any) -> None:
    one = worker({"steps": 40, "pause": 0.1, "watch": 2, "at": 25})
    pid = int(one.wait_for("running-0"))
    os.kill(pid, signal.SIGSTOP)
    time.sleep(3)
    os.kill(pid, signal.SIGCONT)
    code, message, log = one.end()
    assert (code, message["step"]) == (0, 40), log


def test_a_stopped_rank_ends_both_workers_with_16_and_is_named(gang: Any) -> None:
    workers = gang({"steps": 100_000, "pause": 0.01, "watch": 2, "at": 5})
    pid = int(workers[1].wait_for("running-1"))
    time.sleep(2)  # until its beats tell that it trains
    os.kill(pid, signal.SIGSTOP)
    started = time.monotonic()
    (first, said, log), (second, other, other_log) = [one.end() for one in workers]
    assert (first, second) == (16, 16) and time.monotonic() - started < 15
    assert said["message"].startswith("rank 1 did not finish step ") and "rank 0 waits in all_reduce" in said["message"]
    assert "stopped, or stuck in native code" in said["message"] and "stopped" in other["message"]
    assert "gang_program.py" in log and "gang_program.py" in other_log and not alive(pid)
