"""How many CPU threads torch may use: those the pod was given, shared by the processes on this worker."""

import os
from pathlib import Path

import torch

CPU_MAX = Path("/sys/fs/cgroup/cpu.max")


def use_available_cores(processes: int) -> int:
    """Set torch's threads from affinity and cgroup quota, unless OMP_NUM_THREADS says how many; returns the number."""
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, available_cores(len(os.sched_getaffinity(0)), _quota()) // processes))
    return torch.get_num_threads()


def available_cores(affinity: int, quota: str) -> int:
    """Whole cores, at least one, from the affinity and the text of cgroup v2's cpu.max, such as "200000 100000"."""
    limit, _, period = quota.partition(" ")
    if not (limit.isdigit() and period.strip().isdigit()):
        return affinity
    return max(1, min(affinity, int(limit) // int(period)))


def _quota() -> str:
    try:
        return CPU_MAX.read_text()
    except OSError:
        return ""
