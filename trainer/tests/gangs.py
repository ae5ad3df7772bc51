"""Runs a function on every rank of a small gang of processes, joined by gloo on the loopback interface."""

import os
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from programs import REPRODUCIBLE, SERVER, _free_port


def run_gang(function: Callable[..., Any], ranks: int, *arguments: Any, timeout: float = 120) -> list[Any]:
    """What `function(dist, *arguments)` returns on each rank. AssertionError with the trace of a rank that fails."""
    port, pipes, processes = _free_port(), [], []
    for rank in range(ranks):
        ours, theirs = SERVER.Pipe()
        gang = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": ranks, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        environment = {name: str(value) for name, value in gang.items()} | {"GLOO_SOCKET_IFNAME": "lo"} | REPRODUCIBLE
        process = SERVER.Process(target=_run, args=(theirs, environment, function, arguments))
        process.start()
        pipes.append(ours)
        processes.append(process)
    try:
        results = [pipe.recv() if pipe.poll(timeout) else (False, f"no answer in {timeout} s") for pipe in pipes]
    finally:
        for process in processes:
            process.kill()
            process.join()
    assert all(good for good, _ in results), "\n".join(str(result) for good, result in results if not good)
    return [result for _, result in results]


def _run(
    pipe: Connection, environment: dict[str, str], function: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    os.environ.update(environment)
    import torch  # noqa: PLC0415 - after the environment is set

    from polar import distributed  # noqa: PLC0415

    torch.set_num_threads(1)
    try:
        dist = distributed.setup(seed=5)
        pipe.send((True, function(dist, *arguments)))
        dist.close()
    except BaseException:
        pipe.send((False, traceback.format_exc()))
