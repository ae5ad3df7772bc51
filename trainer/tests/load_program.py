"""Loads folders of weights and prints the peak memory each took beyond the model itself, in bytes, as JSON.

    python load_program.py FOLDER...
"""

import ctypes
import gc
import json
import re
import sys
from pathlib import Path

import torch

from polar.model import RewardModel
from polar.weights import open_weights


def memory(name: str) -> int:
    """A line of /proc/self/status in bytes: VmRSS now, VmHWM at most since the last reset. Mapped files count."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) * 1024


def extra_memory(folder: Path) -> int:
    """Peak beyond the memory before and the model."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM
    before = memory("VmRSS")
    weights = open_weights(folder)
    with torch.device("meta"):
        model = RewardModel(weights.architecture, weights.vocab_size)
    model.to_empty(device="cpu")
    own = model.state_dict()
    for name, tensor in weights.tensors():
        own[name].copy_(tensor)
    return memory("VmHWM") - before - sum(tensor.nbytes for tensor in own.values())


if __name__ == "__main__":
    warm, *folders = map(Path, sys.argv[1:])
    extra_memory(warm)  # libraries are loaded on first use
    print(json.dumps([extra_memory(folder) for folder in folders]))
