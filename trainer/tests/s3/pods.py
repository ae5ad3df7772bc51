"""A gang whose ranks are in pods of their own: each has its own folder, as with an emptyDir."""

import json
import shutil
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from programs import SERVER, Gang, _run_rank


class Pods(Gang):
    """Rank r has the folder `<directory>/pod-r`; all have the run's config but for that."""

    def _start(self, rank: int, ranks: int, port: int) -> ForkServerProcess:
        gang = {"RANK": rank, "LOCAL_RANK": 0, "WORLD_SIZE": ranks, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        environment = {name: str(value) for name, value in gang.items()} | {"GLOO_SOCKET_IFNAME": "lo"}
        document: dict[str, Any] = json.loads(self.config.read_text())
        document["checkpoint"]["directory"] = str(folder_of(self.config, rank))
        own = self.config.with_suffix(f".pod-{rank}.json")
        own.write_text(json.dumps(document))
        self.log(rank).touch()
        process = SERVER.Process(target=_run_rank, args=(own, environment, self.log(rank), self.program))
        process.start()
        return process


def folder_of(config: Path, rank: int) -> Path:
    return config.parent / f"pod-{rank}"


def new_pods(config: Path, ranks: int) -> None:
    """Nothing is left of the folders."""
    for rank in range(ranks):
        shutil.rmtree(folder_of(config, rank), ignore_errors=True)
