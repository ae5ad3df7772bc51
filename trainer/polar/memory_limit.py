"""How much memory a training process may use."""

import os
from pathlib import Path

import torch

CGROUP = Path("/sys/fs/cgroup")
LIMIT_FILES = ("memory.max", "memory/memory.limit_in_bytes")


def device_memory(device: torch.device, processes: int) -> int:
    """Bytes one process may use: of its GPU, or its part of the host's memory shared by `processes` of them."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return host_memory() // processes


def host_memory(cgroup: Path = CGROUP) -> int:
    """Bytes this container may use: its cgroup's limit or what the machine has, whichever is less."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([physical, *(_limit(cgroup / name) for name in LIMIT_FILES if (cgroup / name).exists())])


def _limit(path: Path) -> int:
    text = path.read_text().strip()
    return int(text) if text.isdigit() and int(text) > 0 else 1 << 62
