"""One attempt of the run: its workers as real processes, and what they say and when."""

import json
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from small_run import WORKERS

STEP = re.compile(r"^step (\d+)/")
POLL_SECONDS = 0.02
END_SECONDS = 60.0


class Attempt:
    """`polar.launch` for each worker. `steps` yields the number of each step that is done, as rank 0 says it."""

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        self.folder = folder / f"attempt-{config['run']['attempt']}"
        self.folder.mkdir()
        path = self.folder / "run.json"
        path.write_text(json.dumps(config))
        self.steps: queue.Queue[tuple[int, float]] = queue.Queue()
        self.workers = [self._start(path, index) for index in range(WORKERS)]
        threading.Thread(target=self._read, daemon=True).start()

    def rank_in_a_step(self, most_seconds: float) -> int:
        """The pid of the last worker's rank, when it says that it trains and may take so long for a step."""
        index = WORKERS - 1
        while not self.failed():
            found = self._file(index, "beat")
            beat = json.loads(found.read_text()) if found else {}
            if beat.get("phase") == "step" and beat["limit"] <= most_seconds and (pid := self._file(index, "pid")):
                return int(pid.read_text())
            time.sleep(POLL_SECONDS)
        raise RuntimeError(f"attempt ended early; see {self.folder}")

    def wait_for_step(self, least: int = 0) -> tuple[int, float]:
        """The first step of at least that number, and when it was done. RuntimeError when the attempt ends before."""
        while True:
            try:
                step, at = self.steps.get(timeout=1)
            except queue.Empty:
                if self.failed():
                    raise RuntimeError(f"attempt ended early; see {self.folder}") from None
                continue
            if step >= least:
                return step, at

    def failed(self) -> bool:
        """Whether a worker has ended."""
        return any(worker.poll() is not None for worker in self.workers)

    def end(self) -> float:
        """Wait until one worker has ended, end the others as the operator does, and return when the first did."""
        began = time.monotonic()
        while not self.failed():
            time.sleep(POLL_SECONDS)
            if time.monotonic() - began > END_SECONDS:
                raise RuntimeError(f"nothing ended within {END_SECONDS:.0f} s; see {self.folder}")
        first = time.monotonic()
        for worker in self.workers:
            if worker.poll() is None:
                worker.send_signal(signal.SIGTERM)
        for worker in self.workers:
            worker.wait(END_SECONDS)
        return first

    def codes(self) -> list[int]:
        """Exit codes of workers that ended by themselves."""
        return [worker.wait(600) for worker in self.workers]

    def kill(self) -> None:
        """End what still runs; ranks die with their launcher."""
        for worker in self.workers:
            if worker.poll() is None:
                worker.kill()
                worker.wait()

    def _file(self, index: int, kind: str) -> Path | None:
        return next((self.folder / f"tmp-{index}").glob(f"polar-*/rank-{index}.{kind}"), None)

    def _start(self, config: Path, index: int) -> "subprocess.Popen[bytes]":
        temporary = self.folder / f"tmp-{index}"
        temporary.mkdir()
        environment = os.environ | {
            "JOB_COMPLETION_INDEX": str(index), "TMPDIR": str(temporary), "GLOO_SOCKET_IFNAME": "lo",
            "OMP_NUM_THREADS": "1", "POLAR_GRACE_SECONDS": "30", "PYTHONUNBUFFERED": "1",
            "POLAR_TERMINATION_LOG": str(self.folder / f"termination-{index}.json"),
        }  # fmt: skip
        command = [sys.executable, "-m", "polar.launch", "--config", str(config)]
        with (self.folder / f"worker-{index}.err").open("wb") as errors:
            output = subprocess.PIPE if index == 0 else subprocess.DEVNULL
            return subprocess.Popen(command, env=environment, stdout=output, stderr=errors)

    def _read(self) -> None:
        stream = self.workers[0].stdout
        assert stream is not None
        with (self.folder / "worker-0.out").open("wb") as copy:
            for line in stream:
                copy.write(line)
                if found := STEP.match(line.decode(errors="replace")):
                    self.steps.put((int(found[1]), time.monotonic()))


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
