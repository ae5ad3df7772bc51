"""Runs training programs as real processes."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

TRAINER = Path(__file__).parent.parent
PROGRAMS = {"PolarPretrain": "polar.pretrain", "PolarFinetune": "polar.finetune"}
# One thread and one instruction set, so that sums have one order on every machine.
REPRODUCIBLE = {"OMP_NUM_THREADS": "1", "ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE"}


class Gang:
    """The processes of one attempt; rank r's output goes to `<directory>/rank-r.log`."""

    def __init__(self, config: Path, ranks: int = 1) -> None:
        self.config, self.kind = config, json.loads(config.read_text())["kind"]
        self._port = _free_port()
        self.processes = [self._start(rank, ranks) for rank in range(ranks)]

    def _start(self, rank: int, ranks: int) -> subprocess.Popen[bytes]:
        gang = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(ranks), "MASTER_ADDR": "127.0.0.1"}
        environment = os.environ | REPRODUCIBLE | gang | {"MASTER_PORT": str(self._port), "GLOO_SOCKET_IFNAME": "lo"}
        environment["PYTHONPATH"] = str(TRAINER)
        command = [sys.executable, "-m", "polar.rank", PROGRAMS[self.kind], "--config", str(self.config)]
        with self.log(rank).open("wb") as log:
            return subprocess.Popen(command, env=environment, cwd=TRAINER, stdout=log, stderr=subprocess.STDOUT)

    def log(self, rank: int = 0) -> Path:
        """Where a rank's output goes."""
        return self.config.with_suffix(f".rank-{rank}.log")

    def wait(self, timeout: float = 240) -> list[int]:
        """Exit codes of the ranks. TimeoutExpired after killing them."""
        deadline = time.monotonic() + timeout
        try:
            return [process.wait(max(0.1, deadline - time.monotonic())) for process in self.processes]
        finally:
            self.kill()

    def wait_until(self, happened: Callable[[], bool], timeout: float = 120) -> None:
        """Wait for something while the processes run; AssertionError when they end first."""
        deadline = time.monotonic() + timeout
        while not happened():
            ended = [process.poll() for process in self.processes]
            assert ended.count(None) == len(ended), f"ended with {ended}:\n{self.log().read_text()}"
            assert time.monotonic() < deadline, f"not within {timeout} s:\n{self.log().read_text()}"
            time.sleep(0.002)

    def signal(self, number: int) -> None:
        """Send a signal to all ranks."""
        for process in self.processes:
            process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL what still runs."""
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()


def complete(config: Path, ranks: int = 1) -> Path:
    """Run an attempt that must end well; returns the checkpoint directory."""
    gang = Gang(config, ranks)
    codes = gang.wait()
    assert codes == [0] * ranks, f"exit codes {codes}:\n{gang.log().read_text()}"
    return Path(json.loads(config.read_text())["checkpoint"]["directory"])


def ends_with(config: Path, code: int, ranks: int = 1) -> str:
    """Run an attempt that must end with an exit code; returns the output of rank 0."""
    gang = Gang(config, ranks)
    assert gang.wait() == [code] * ranks, gang.log().read_text()
    return gang.log().read_text()


def points(directory: Path) -> list[dict[str, Any]]:
    """The curve of a run."""
    return [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]


def tensor_hashes(directory: Path, step: int) -> dict[str, str]:
    """SHA-256 of a checkpoint's weights, optimizer and RNG."""
    files = json.loads((directory / f"step-{step:08d}" / "manifest.json").read_text())["files"]
    return {name: entry["sha256"] for name, entry in files.items() if name.endswith(".safetensors")}


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
