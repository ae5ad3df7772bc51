"""A worker's main program: `python -m polar.launch --config /etc/polar/run.json`.

Checks the config, starts this worker's ranks (through torchrun, or directly when the gang is one process), passes
SIGTERM on to them so that they save, and ends with one outcome: the termination message and the mapped exit code.
Imports no torch, so a bad config is told within a second.

Environment: JOB_COMPLETION_INDEX (which worker this is), POLAR_GRACE_SECONDS (the pod's grace period, 120 unless
told; ranks that have not saved five seconds before its end are killed), POLAR_TERMINATION_LOG.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType
from typing import NoReturn

from polar import config as configs
from polar import termination
from polar.config import RunConfig
from polar.errors import ConfigError, Interrupted, PolarError
from polar.ranks import Ranks
from polar.result import Result, explain
from polar.watch import RESULT_DIR

PROGRAMS = {"PolarPretrain": "polar.pretrain", "PolarFinetune": "polar.finetune"}
POLL_SECONDS = 0.1
GRACE_MARGIN_SECONDS = 5.0
PEER_LOSS_DELAY_SECONDS = 5.0
JOIN_TIMEOUT_SECONDS = 3600
AGENT_SHUTDOWN_SECONDS = 10


class Shutdown:
    """When the pod was told to stop, if it was."""

    def __init__(self) -> None:
        self.deadline: float | None = None

    def install(self) -> None:
        """Makes SIGTERM and SIGINT start the grace period."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self.deadline is None:
            grace = float(os.environ.get("POLAR_GRACE_SECONDS", "120"))
            self.deadline = time.monotonic() + max(grace - GRACE_MARGIN_SECONDS, grace / 2)


def main() -> NoReturn:
    """Runs one worker to its end and exits with its code."""
    parser = argparse.ArgumentParser(prog="polar.launch", description=__doc__)
    parser.add_argument("--config", required=True)
    path = parser.parse_args().config
    shutdown = Shutdown()
    shutdown.install()
    attempt = 0
    try:
        config = configs.load(path)
        attempt = config.run.attempt
        outcome = run_worker(config, path, shutdown)
    except PolarError as error:
        outcome = termination.failure(error)
    except Exception as error:
        code, reason, message = explain(error)
        outcome = {"exitCode": code, "reason": reason, "message": f"launch: {message}", "peerLost": False}
    finish(outcome, attempt, shutdown)


def run_worker(config: RunConfig, path: str, shutdown: Shutdown) -> Result:
    """Starts the ranks and waits for them; returns the worker's outcome, with rank 0's summary if it is here."""
    index = worker_index(config.gang.workers)
    wait_for_name(config, shutdown)
    with tempfile.TemporaryDirectory(prefix="polar-") as directory:
        count = config.gang.processes_per_worker
        here = Ranks(Path(directory), first=index * count, count=count)
        variables = environment(directory)
        process = subprocess.Popen(command(config, path, index), env=variables, start_new_session=True)
        supervise(process, here, shutdown)
        return outcome_of(here, process.returncode, direct=config.gang.world_size() == 1, stopped=shutdown.deadline)


def command(config: RunConfig, path: str, index: int) -> list[str]:
    """The command line of this worker's ranks."""
    program = ["-m", "polar.rank", PROGRAMS[config.kind], "--config", path]
    gang = config.gang
    if gang.world_size() == 1:
        return [sys.executable, *program]
    return [
        sys.executable, "-m", "polar.agent", f"--nnodes={gang.workers}", f"--node-rank={index}",
        f"--nproc-per-node={gang.processes_per_worker}", f"--master-addr={gang.master_address}",
        f"--master-port={gang.master_port}", "--max-restarts=0", f"--rdzv-id={config.run.uid}-{config.run.attempt}",
        f"--rdzv-conf=timeout={JOIN_TIMEOUT_SECONDS}", *program,
    ]


def environment(result_directory: str) -> dict[str, str]:
    """The ranks' environment: this one's, where to leave results, and how long torchrun lets them end."""
    defaults = {"PYTHONUNBUFFERED": "1", "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": str(AGENT_SHUTDOWN_SECONDS)}
    return {**defaults, **os.environ, RESULT_DIR: result_directory}


def worker_index(workers: int) -> int:
    """Which worker this is. Raises ConfigError when the environment does not fit the config."""
    text = os.environ.get("JOB_COMPLETION_INDEX", "0" if workers == 1 else "")
    if not text.isdigit() or int(text) >= workers:
        wanted = f"0 to {workers - 1} (gang.workers is {workers})"
        raise ConfigError(f"JOB_COMPLETION_INDEX: expected {wanted}, got {text!r}")
    return int(text)


def wait_for_name(config: RunConfig, shutdown: Shutdown) -> None:
    """Waits until worker 0's name resolves: its DNS record appears some time after its pod."""
    gang, said = config.gang, 0.0
    if gang.world_size() == 1:
        return
    while True:
        try:
            socket.getaddrinfo(gang.master_address, gang.master_port, type=socket.SOCK_STREAM)
            break
        except OSError as error:
            if time.monotonic() - said > 10:
                said = time.monotonic()
                say(f"waiting for worker 0's name {gang.master_address} to resolve: {error.strerror}")
        stop_here(shutdown)
        time.sleep(5 * POLL_SECONDS)
    say(f"waiting for {gang.workers} workers to meet at {gang.master_address}:{gang.master_port}")


def stop_here(shutdown: Shutdown) -> None:
    """Raises Interrupted once the pod was told to stop."""
    if shutdown.deadline is not None:
        raise Interrupted("stopped before training started")


def supervise(process: subprocess.Popen[bytes], here: Ranks, shutdown: Shutdown) -> None:
    """Waits for the ranks and ends those that no longer run; after SIGTERM passes it on and kills what is left at the
    deadline."""
    while process.poll() is None:
        time.sleep(POLL_SECONDS)
        here.end_silent(stopping=shutdown.deadline is not None)
        if shutdown.deadline is None:
            continue
        pids = here.terminate()
        nothing_to_save = not pids
        if nothing_to_save or time.monotonic() > shutdown.deadline:
            process.kill()
            process.wait()


def outcome_of(here: Ranks, return_code: int, *, direct: bool, stopped: float | None) -> Result:
    """One outcome from the ranks' files; a rank killed while the pod was being stopped counts as interrupted."""
    results, exit_codes = here.results(), here.exit_codes()
    if direct:
        exit_codes = {here.first: return_code}
    outcome = termination.decide({**here.hung(), **results}, exit_codes, here.numbers())
    if stopped is not None and outcome["exitCode"] == PolarError.exit_code:
        message = f"stopped before it could save ({outcome['message']}); earlier checkpoints are intact"
        outcome |= {"exitCode": Interrupted.exit_code, "reason": Interrupted.reason, "message": message}
    return {**outcome, "summary": results.get(0, {}).get("summary", {})}


def finish(outcome: Result, attempt: int, shutdown: Shutdown) -> NoReturn:
    """Writes the termination message and exits."""
    if outcome["peerLost"] and shutdown.deadline is None:
        # The worker that knows why should be the first one that Kubernetes sees fail.
        time.sleep(PEER_LOSS_DELAY_SECONDS)
    termination.write_message(termination.message_of(outcome, attempt, outcome.get("summary", {})))
    say(f"{outcome['reason']}: {outcome['message']}".rstrip(": "))
    sys.exit(outcome["exitCode"])


def say(line: str) -> None:
    """A line in the container's log."""
    print(f"launch: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
