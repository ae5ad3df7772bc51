"""Forks processes that save a checkpoint and are broken by test_checkpoint_faults.py.

A line `save ROOT STEP` on stdin forks a child that stops itself and saves once it is continued; `full ROOT` one that
fills a small volume of its own; `part ROOT STEP RANK` two ranks that save a sharded model, of which RANK stops itself.
The answers are the (stopped) child's pid, then its wait status, then that of the other rank, one per line.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor

from polar import checkpoint
from polar.checkpoint import Snapshot
from polar.distributed import Dist
from polar.errors import PolarError
from polar.resume import load_agreed
from polar.team import Team

CLONE_NEWNS, MS_REC, MS_PRIVATE, PR_SET_PTRACER = 0x20000, 0x4000, 0x40000, 0x59616D61
LIBC = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Serves until stdin ends."""
    torch.set_num_threads(1)  # a forked child has none of the parent's threads
    warm_up(Path(sys.argv[1]))
    for line in sys.stdin:
        command, root, *rest = line.split()
        if command == "save":
            pid = forked(save, Path(root), int(rest[0]))
        elif command == "full":
            pid = forked(fill, Path(root))
        else:
            save_parts(Path(root), int(rest[0]), int(rest[1]))
            continue
        print(pid, flush=True)
        print(os.waitpid(pid, 0)[1], flush=True)


def warm_up(directory: Path) -> None:
    """Imports what the first save and the first split tensor import, which takes seconds, before anything is forked."""
    checkpoint.save(directory / "warm-up", a_snapshot(0))
    torch.distributed.init_process_group("gloo", init_method=f"file://{directory}/store", rank=0, world_size=1)
    distribute_tensor(torch.zeros(1, 1), init_device_mesh("cpu", (1,)), [Shard(0)])
    torch.distributed.destroy_process_group()


def forked(work: Callable[..., int], *arguments: Any) -> int:
    """A child that does this and exits with what it returns."""
    pid = os.fork()
    if pid == 0:
        os._exit(work(*arguments))
    return pid


def save(root: Path, step: int) -> int:
    """Saves one checkpoint under a tracer; the exit code is the error's."""
    be_traced()
    return ended(root, "error", lambda: checkpoint.save(root, a_snapshot(step)))


def be_traced() -> None:
    """Stops until a tracer is there."""
    LIBC.prctl(PR_SET_PTRACER, -1, 0, 0, 0)
    os.kill(os.getpid(), signal.SIGSTOP)


def ended(root: Path, name: str, work: Callable[[], object]) -> int:
    """0, or the exit code of the error, which is written to a file."""
    try:
        work()
    except PolarError as error:
        (root.parent / name).write_text(f"{error.reason}: {error}")
        return error.exit_code
    return 0


def save_parts(root: Path, step: int, stopped: int) -> None:
    """Two ranks save; when the stopped one has ended, the other is given a moment, then killed, as a gang would be."""
    store = root.parent / f"store-{time.monotonic_ns()}"
    pids = [forked(save_part, root, step, rank, (rank == stopped, store)) for rank in range(2)]
    print(pids[stopped], flush=True)
    print(os.waitpid(pids[stopped], 0)[1], flush=True)
    other, deadline = pids[1 - stopped], time.monotonic() + 0.3
    found, status = os.waitpid(other, os.WNOHANG)
    while not found and time.monotonic() < deadline:
        time.sleep(0.005)
        found, status = os.waitpid(other, os.WNOHANG)
    if not found:
        os.kill(other, signal.SIGKILL)
        status = os.waitpid(other, 0)[1]
    print(status, flush=True)


def save_part(root: Path, step: int, rank: int, how: tuple[bool, Path]) -> int:
    """One rank of two saves a model whose rows are split over both."""
    traced, store = how
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    mesh = init_device_mesh("cpu", (2,))
    whole = a_snapshot(step)
    split = {name: distribute_tensor(tensor, mesh, [Shard(0)]) for name, tensor in whole.model.items()}
    moments = {name: distribute_tensor(tensor, mesh, [Shard(0)]) for name, tensor in whole.optimizer.items()}
    team = Team(rank=rank, ranks=2, token=store.name)
    staged = checkpoint.stage(replace(whole, model=split, optimizer=moments), main=team.is_main)
    torch.distributed.barrier()
    if traced:
        be_traced()
    return ended(root, f"error-{rank}", lambda: checkpoint.write(root, staged, team))


def fill(root: Path) -> int:
    """Saves checkpoints on a volume of 1 MiB until it is full; 77 when this machine does not let us mount one."""
    if LIBC.unshare(CLONE_NEWNS) or LIBC.mount(None, b"/", None, MS_REC | MS_PRIVATE, None):
        return 77
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", root], check=False).returncode:
        return 77
    try:
        for step in range(1, 10):
            checkpoint.save(root, a_snapshot(step))
    except PolarError as error:
        loaded = load_agreed(root, Dist())
        names = sorted(path.name for path in root.iterdir())
        newest = loaded.info.step if loaded else None
        (root.parent / "error").write_text(f"{error.reason}: {error}\nnewest {newest}\nleft {' '.join(names)}")
        return error.exit_code
    return 1


def a_snapshot(step: int) -> Snapshot:
    """A checkpoint of about 260 KiB."""
    return Snapshot(
        step=step, tokens=step, model={"w": torch.full((256, 256), float(step))}, optimizer={"m": torch.zeros(16)},
        rng={"rank0.cpu": torch.zeros(8, dtype=torch.uint8)}, state={}, config={}, tokenizer_json="{}", val_loss=0.5,
    )


if __name__ == "__main__":
    main()
