"""Forks processes that save a checkpoint and are broken by test_checkpoint_faults.py.

A line `save ROOT STEP` on stdin forks a child that stops itself and saves once it is continued; `full ROOT` one that
fills a small volume of its own. The answers are the child's pid, then its wait status, one per line.
"""

import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path

import torch

from polar import checkpoint
from polar.checkpoint import Snapshot
from polar.errors import PolarError

CLONE_NEWNS, MS_REC, MS_PRIVATE, PR_SET_PTRACER = 0x20000, 0x4000, 0x40000, 0x59616D61
LIBC = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Serves until stdin ends."""
    torch.set_num_threads(1)  # a forked child has none of the parent's threads
    checkpoint.save(Path(sys.argv[1]) / "warm-up", a_snapshot(0))  # imports what the first save imports
    for line in sys.stdin:
        command, root, *rest = line.split()
        pid = os.fork()
        if pid == 0:
            os._exit(save(Path(root), int(rest[0])) if command == "save" else fill(Path(root)))
        print(pid, flush=True)
        print(os.waitpid(pid, 0)[1], flush=True)


def save(root: Path, step: int) -> int:
    """Saves one checkpoint under a tracer; the exit code is the error's."""
    LIBC.prctl(PR_SET_PTRACER, -1, 0, 0, 0)
    os.kill(os.getpid(), signal.SIGSTOP)
    try:
        checkpoint.save(root, a_snapshot(step))
    except PolarError as error:
        (root.parent / "error").write_text(f"{error.reason}: {error}")
        return error.exit_code
    return 0


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
        loaded = checkpoint.load_newest(root)
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
