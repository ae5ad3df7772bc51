"""A stand-in for a training program: what it does comes in GANG_PLAN, JSON by rank (see test_launch.py)."""

import json
import os
import signal
import time
from pathlib import Path

from polar import distributed
from polar.errors import DataError, Interrupted
from polar.result import Summary


def main(config_path: str, summary: Summary) -> None:
    """Joins the gang, then steps until this rank's plan or the stop flag ends it."""
    plan = json.loads(os.environ.get("GANG_PLAN", "{}"))
    rank = int(os.environ.get("RANK", "0"))
    mine, steps = plan.get(str(rank), "train"), int(plan.get("steps", 5))
    dist = distributed.setup(0)
    for step in range(steps):
        if dist.any(dist.stop.requested):
            Path(os.environ["GANG_SAVED"]).with_suffix(f".{rank}").write_text(str(step))
            raise Interrupted(f"saved at step {step} after {dist.stop.reason or 'a peer stopped'}")
        if step == 2:
            act(mine)
        summary.update(step=step + 1, totalSteps=steps, trainLoss=1 / (step + 1))
        if plan.get("announce") and step == 2:
            Path(plan["announce"]).with_suffix(f".{rank}").write_text(str(os.getpid()))
        time.sleep(float(plan.get("pause", 0)))
    dist.close()


def act(what: str) -> None:
    """Fails in the planned way, or goes on."""
    if what == "data":
        raise DataError("rows.jsonl.gz line 7: expected a string, got 3")
    if what == "memory":
        raise MemoryError("cannot allocate 9 GiB")
    if what == "bug":
        raise ValueError("no such column: reward")
    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "hang":
        time.sleep(3600)
