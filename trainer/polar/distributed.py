"""This process's place in the gang: rank, device, agreement between ranks, RNG states.

Reads torchrun's environment; without it the process is a gang of one and no process group is made. Control values
(flags, means, JSON, RNG states) always travel over gloo on the CPU, so they cost no device synchronisation.
"""

import json
import os
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as torch_dist

from polar.errors import ConfigError
from polar.stop import FLAG, Stop, install

COLLECTIVE_TIMEOUT = timedelta(minutes=30)


@dataclass(frozen=True, kw_only=True)
class Dist:
    """A rank's view of its gang. All methods but the properties are collective: every rank must call them."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    stop: Stop = field(default_factory=lambda: FLAG)

    @property
    def is_main(self) -> bool:
        """Whether this rank writes checkpoints and reports."""
        return self.rank == 0

    def any(self, flag: bool) -> bool:
        """Whether `flag` is set on at least one rank."""
        return bool(self.max([int(flag)])[0])

    def max(self, values: list[int]) -> list[int]:
        """Elementwise maximum over the ranks; lists of one length."""
        return [int(value) for value in self._reduced(torch.tensor(values, dtype=torch.int64), torch_dist.ReduceOp.MAX)]

    def sum(self, values: dict[str, float]) -> dict[str, float]:
        """Sum over the ranks in float64, key by key; every rank passes the same keys."""
        keys = sorted(values)
        total = self._reduced(torch.tensor([values[key] for key in keys], dtype=torch.float64), torch_dist.ReduceOp.SUM)
        return dict(zip(keys, total.tolist(), strict=True))

    def mean(self, values: dict[str, float]) -> dict[str, float]:
        """Mean over the ranks in float64, key by key; every rank passes the same keys."""
        return {key: value / self.world_size for key, value in self.sum(values).items()}

    def barrier(self) -> None:
        """Waits until every rank is here."""
        self.max([0])

    def broadcast(self, value: Any) -> Any:
        """Rank 0's JSON value, on every rank; what the other ranks pass is ignored."""
        if self.world_size == 1:
            return value
        data = bytearray(json.dumps(value).encode() if self.is_main else b"")
        size = torch.tensor([len(data)], dtype=torch.int64)
        torch_dist.broadcast(size, src=0)
        data = data or bytearray(int(size))
        payload = torch.frombuffer(data, dtype=torch.uint8)
        torch_dist.broadcast(payload, src=0)
        return json.loads(data)

    def texts(self, text: str) -> list[str]:
        """Every rank's text, on every rank."""
        if self.world_size == 1:
            return [text]
        data = text.encode()
        longest = self.max([len(data)])[0]
        own = torch.tensor([*data, *bytes(longest - len(data))], dtype=torch.uint8)
        parts = [torch.empty_like(own) for _ in range(self.world_size)]
        torch_dist.all_gather(parts, own)
        return [bytes(part.tolist()).rstrip(b"\0").decode() for part in parts]

    def gather_rng(self) -> dict[str, torch.Tensor]:
        """Every rank's torch RNG states as uint8 tensors named `rank<r>.cpu` and `rank<r>.cuda`; {} but on rank 0."""
        gathered: dict[str, torch.Tensor] = {}
        for name, state in self._rng_state().items():
            for rank, part in enumerate(self._gathered(state)):
                gathered[f"rank{rank}.{name}"] = part
        return gathered

    def restore_rng(self, rng: dict[str, torch.Tensor]) -> bool:
        """Sets this rank's RNG states from what `gather_rng` returned.

        Returns False, and keeps the seeded state, when the states are of another world size or device kind: such a
        resume is not bitwise. Not collective.
        """
        own = self._rng_state()
        if set(rng) != {f"rank{rank}.{name}" for rank in range(self.world_size) for name in own}:
            return False
        torch.set_rng_state(rng[f"rank{self.rank}.cpu"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(rng[f"rank{self.rank}.cuda"], self.device)
        return True

    def close(self) -> None:
        """Leaves the process group, if there is one."""
        if torch_dist.is_initialized():
            torch_dist.destroy_process_group()

    def _reduced(self, values: torch.Tensor, op: Any) -> torch.Tensor:
        if self.world_size > 1:
            torch_dist.all_reduce(values, op=op)
        return values

    def _rng_state(self) -> dict[str, torch.Tensor]:
        states = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            states["cuda"] = torch.cuda.get_rng_state(self.device)
        return states

    def _gathered(self, state: torch.Tensor) -> list[torch.Tensor]:
        if self.world_size == 1:
            return [state]
        parts = [torch.empty_like(state) for _ in range(self.world_size)] if self.is_main else None
        torch_dist.gather(state, parts, dst=0)
        return parts or []


def setup(seed: int) -> Dist:
    """Joins the gang torchrun's environment describes, picks the device and makes this rank deterministic.

    The torch RNG is seeded with `seed + rank`: what must be equal on all ranks (initial weights) needs a generator of
    its own or a broadcast. CUDA is used when there is any; ConfigError when there is none for this local rank.
    """
    rank, world_size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    device = device_of(local_rank, torch.cuda.device_count() if torch.cuda.is_available() else 0)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if world_size > 1:
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        torch_dist.init_process_group(backend, rank=rank, world_size=world_size, timeout=COLLECTIVE_TIMEOUT)
    torch.manual_seed(seed + rank)
    if device.type == "cuda":  # the CPU kernels used here are deterministic, and the call costs seconds of imports
        torch.use_deterministic_algorithms(True, warn_only=True)  # a kernel without a deterministic form says so
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined] # would write all memory twice
        torch.backends.cudnn.benchmark = False
    return Dist(rank=rank, world_size=world_size, local_rank=local_rank, device=device, stop=install())


def device_of(local_rank: int, gpus: int) -> torch.device:
    """A GPU for each process of a worker, or the CPU where there are none. ConfigError when there are too few."""
    if gpus == 0:
        return torch.device("cpu")
    if local_rank >= gpus:
        got = f"{local_rank + 1} or more"
        raise ConfigError(f"gang.processesPerWorker: expected at most {gpus}, one per GPU, got {got}")
    return torch.device("cuda", local_rank)
