"""Runs training programs as real processes."""

import json
import multiprocessing
import os
import socket
import sys
import time
from collections.abc import Callable
from multiprocessing import forkserver
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from polar import rank

PROGRAMS = {"PolarPretrain": "polar.pretrain", "PolarFinetune": "polar.finetune"}
# One thread and one instruction set, so that sums have one order on every machine.
REPRODUCIBLE = {"OMP_NUM_THREADS": "1", "ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE"}
SERVER = multiprocessing.get_context("forkserver")


def start_server() -> None:
    """Start the process that ranks are forked from, with torch imported under reproducible settings."""
    before = {name: os.environ.get(name) for name in REPRODUCIBLE}
    os.environ.update(REPRODUCIBLE)
    SERVER.set_forkserver_preload(["polar.pretrain", "polar.finetune", "programs", "torch.distributed.fsdp"])
    forkserver.ensure_running()
    for name, value in before.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value


class Gang:
    """The processes of one attempt; rank r's output goes to `<directory>/run.rank-r.log`.

    `program` is a module that runs instead of the real one. The processes are forked from a server that has imported
    torch already, which saves seconds for each of them.
    """

    def __init__(self, config: Path, ranks: int = 1, program: str = "") -> None:
        self.config, self.program, port = config, program, _free_port()
        self.processes = [self._start(rank, ranks, port) for rank in range(ranks)]

    def _start(self, rank: int, ranks: int, port: int) -> ForkServerProcess:
        gang = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": ranks, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        environment = {name: str(value) for name, value in gang.items()} | {"GLOO_SOCKET_IFNAME": "lo"}
        self.log(rank).touch()
        process = SERVER.Process(target=_run_rank, args=(self.config, environment, self.log(rank), self.program))
        process.start()
        return process

    def log(self, rank: int = 0) -> Path:
        """Where a rank's output goes."""
        return self.config.with_suffix(f".rank-{rank}.log")

    def wait(self, timeout: float = 240) -> list[int | None]:
        """Exit codes of the ranks; those that run longer are killed and have -9."""
        deadline = time.monotonic() + timeout
        for process in self.processes:
            process.join(max(0.1, deadline - time.monotonic()))
        self.kill()
        return [process.exitcode for process in self.processes]

    def wait_until(self, happened: Callable[[], bool], timeout: float = 120) -> None:
        """Wait for something while the processes run; AssertionError when they end first."""
        deadline = time.monotonic() + timeout
        while not happened():
            assert all(process.is_alive() for process in self.processes), f"ended:\n{self.log().read_text()}"
            assert time.monotonic() < deadline, f"not within {timeout} s:\n{self.log().read_text()}"
            time.sleep(0.002)

    def terminate(self, rank: int) -> None:
        """Send SIGTERM to one rank."""
        self.processes[rank].terminate()

    def kill(self) -> None:
        """SIGKILL what still runs."""
        for process in self.processes:
            process.kill()
            process.join()


def _run_rank(config: Path, environment: dict[str, str], log: Path, program: str) -> None:
    os.environ.update(environment)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    program = program or PROGRAMS[json.loads(config.read_text())["kind"]]
    sys.argv = ["polar.rank", program, "--config", str(config)]
    rank.main()


def complete(config: Path, ranks: int = 1) -> Path:
    """Run an attempt that must end well; returns the checkpoint directory."""
    gang = Gang(config, ranks)
    codes = gang.wait()
    assert codes == [0] * ranks, f"exit codes {codes}:\n{gang.log().read_text()}"
    return Path(json.loads(config.read_text())["checkpoint"]["directory"])


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
