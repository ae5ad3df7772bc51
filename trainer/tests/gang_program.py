"""A stand-in for a training program: what it does comes in GANG_PLAN, JSON by rank (see test_launch.py).

"watch" is the hang timeout in seconds.

A gang of one imports no torch, so that most tests take no time.
"""

import ctypes
import errno
import importlib
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

from polar import stop
from polar.errors import DataError, Interrupted, NonFiniteLossError
from polar.result import Summary
from polar.watch import WATCH

PLAN: dict[str, Any] = json.loads(os.environ.get("GANG_PLAN", "{}"))
RANK = int(os.environ.get("RANK", "0"))
OUT = Path(os.environ["GANG_OUT"])


def main(config_path: str, summary: Summary) -> None:
    """Joins the gang, then steps until this rank's plan or the stop flag ends it."""
    gang = importlib.import_module("polar.distributed").setup(7) if "WORLD_SIZE" in os.environ else None
    if gang and PLAN.get("exercise"):
        summary.update(exercise(gang))
    if gang and "shares" in PLAN:
        summary.update(trained(gang, PLAN["shares"]))
    steps = int(PLAN.get("steps", 5))
    WATCH.limit_to(PLAN.get("watch", 0))
    for step in range(steps):
        WATCH.mark("step", step + 1)
        if gang.any(gang.stop.requested) if gang else stop.FLAG.requested:
            (OUT / f"saved-{RANK}").write_text(str(step))
            raise Interrupted(f"saved at step {step}")
        if step == int(PLAN.get("at", 2)):
            (OUT / f"running-{RANK}").write_text(str(os.getpid()))
            act(PLAN.get(str(RANK), "train"))
        summary.update(step=step + 1, totalSteps=steps, trainLoss=1 / (step + 1), valLoss=float("nan"))
        time.sleep(float(PLAN.get("pause", 0)))
    if gang:
        gang.close()


def act(what: str) -> None:
    """Fails in the planned way, or goes on."""
    errors = {
        "data": DataError("rows.jsonl.gz line 7: expected a string, got 3"),
        "nan": NonFiniteLossError("step 3: loss is nan"),
        "memory": MemoryError("cannot allocate 9 GiB"),
        "full": OSError(errno.ENOSPC, "No space left on device", "/mnt/x"),
        "bug": ValueError("no such column: reward"),
    }
    if what in errors:
        raise errors[what]
    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "exit":
        os._exit(3)
    if what == "keep the lock":
        ctypes.PyDLL(None).sleep(1000)
    if what == "hang":
        while True:
            time.sleep(0.1)


def trained(gang: Any, shares: list[int]) -> dict[str, Any]:
    """Losses of a sharded model, of whose batches rank r takes shares[r] groups."""
    program = importlib.import_module("parallel_program")
    engine = program.Engine(precision="fp32", sharding="full")
    return {"losses": str(program.train(gang, engine, shares).losses), "texts": gang.texts("é" * RANK)}


def exercise(gang: Any) -> dict[str, Any]:
    """What the collective methods give on this rank."""
    import torch  # noqa: PLC0415 - a gang of one does without

    drawn = torch.rand(3).tolist()
    states = gang.gather_rng()
    after = torch.rand(3).tolist()
    everyone = {key: torch.tensor(value, dtype=torch.uint8) for key, value in gang.broadcast(
        {key: value.tolist() for key, value in states.items()}).items()}
    restored = gang.restore_rng(everyone)
    return {
        "any": [gang.any(RANK == 1), gang.any(False)], "max": gang.max([RANK, -RANK]),
        "mean": gang.mean({"b": float(RANK), "a": 2.0}), "sum": gang.sum({"x": RANK + 0.5}),
        "broadcast": gang.broadcast(["from", RANK, None]), "states": sorted(states), "restored": restored,
        "repeats": torch.rand(3).tolist() == after, "drawn": str(drawn),
        "otherWorld": gang.restore_rng({"rank0.cpu": everyone["rank0.cpu"]}), "main": gang.is_main,
    }
