"""How the ranks of a gang train one model together: a copy each (DDP), or a share each (FSDP2).

    net = place(lambda: RewardModel(...), config.engine, dist)      no weights yet: fill them in with state.load_weights
    for batch, real in net.share(batches, filler):                  as many turns on every rank as the gang needs
        net.backward(loss of net(batch) * world size / total if real else 0 * loss)
    norm = net.update(optimizer, largest)                           of the gradient of the mean over all ranks, unscaled
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer
from torch.utils.checkpoint import checkpoint

from polar.config_runtime import Engine
from polar.distributed import Dist
from polar.model import RewardModel
from polar.precision import LossScale, dtype_of
from polar.shard import is_sharded

T = TypeVar("T")


class Net:
    """A model as one rank trains it. All methods but `backward` are collective when it is sharded."""

    def __init__(self, module: nn.Module, dist: Dist, dtype: torch.dtype = torch.float32) -> None:
        self.module, self.dist, self.dtype = module, dist, dtype
        self.sharded = any(is_sharded(parameter) for parameter in module.parameters())
        self.scale = LossScale() if dtype == torch.float16 else None
        self._replica: DistributedDataParallel | None = None

    def __call__(self, *inputs: Any) -> Any:
        """The module's output; computed in this net's number format."""
        with self._autocast():
            return self._trained()(*inputs) if torch.is_grad_enabled() else self.module(*inputs)

    def share(self, batches: Sequence[T], filler: T) -> Iterator[tuple[T, bool]]:
        """This rank's micro-batches, each with True, then `filler` with False as often as other ranks need it.

        Gradients of replicas are averaged in the last turn, so forward and backward belong inside the loop.
        """
        turns = self.dist.max([len(batches)])[0] if self.sharded else max(1, len(batches))
        for turn in range(turns):
            with self._synchronised(last=turn == turns - 1):
                yield (batches[turn], True) if turn < len(batches) else (filler, False)

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of a loss."""
        scaled = loss if self.scale is None else loss * self.scale.value
        scaled.backward()  # type: ignore[no-untyped-call]

    def update(self, optimizer: Optimizer, largest: float) -> float | None:
        """Scale the gradient down to a norm of `largest` (0: leave it) and step; returns the norm before, the same on
        all ranks.

        None asks for the same batch again: it overflowed, and the loss scale is half as large now. A norm that is not
        finite has changed nothing.
        """
        norm = self._clip(largest)
        finite = math.isfinite(norm)
        if not finite and not (self.scale and self.scale.overflowed()):
            return norm
        if finite:
            optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return norm if finite else None

    def _clip(self, largest: float) -> float:
        """Scale the gradient down; returns its norm before."""
        gradients = [p.grad for p in self.module.parameters() if p.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        whole = norm.full_tensor() if self.sharded else norm  # type: ignore[attr-defined]
        scale = 1.0 if self.scale is None else self.scale.value
        value = float(whole) / scale
        factor = min(1.0, largest / (value + 1e-6)) if largest > 0 else 1.0
        if factor / scale != 1.0:
            torch._foreach_mul_(gradients, factor / scale)
        if self.scale and math.isfinite(value):
            self.scale.succeeded()
        return value

    def train(self, mode: bool = True) -> None:
        """Dropout on or off."""
        self.module.train(mode)

    def of(self, module: nn.Module) -> "Net":
        """Another module that is trained like this one, such as one that shares its layers."""
        return Net(module, self.dist, self.dtype)

    @property
    def model(self) -> RewardModel:
        """The reward model (not of a net made with `of`)."""
        assert isinstance(self.module, RewardModel)
        return self.module

    def _trained(self) -> nn.Module:
        if self.sharded or self.dist.world_size == 1:
            return self.module
        if self._replica is None:  # here and not before: it sends rank 0's weights to all
            devices = [self.dist.device] if self.dist.device.type == "cuda" else None
            self._replica = DistributedDataParallel(self.module, device_ids=devices)
        return self._replica

    def _autocast(self) -> AbstractContextManager[None]:
        if self.sharded or self.dtype == torch.float32:
            return nullcontext()
        cast: AbstractContextManager[None] = torch.autocast(self.dist.device.type, self.dtype)
        return cast

    def _synchronised(self, last: bool) -> AbstractContextManager[None]:
        if last or self.sharded or self.dist.world_size == 1 or not torch.is_grad_enabled():
            return nullcontext()
        replica = self._trained()
        assert isinstance(replica, DistributedDataParallel)
        silent: AbstractContextManager[None] = replica.no_sync()
        return silent


def place(make: Callable[[], RewardModel], engine: Engine, dist: Dist) -> Net:
    """A model on this rank's device (its share of one, when sharded), ready to train but for its weights.

    The weights have no values until they are loaded; no rank ever holds a whole copy of a sharded model. Only sharding
    `full` splits it: `preflight` decides what `auto` is.
    """
    with torch.device("meta"):
        model = make()
    dtype = dtype_of(engine.precision, dist.device)
    for layer in model.model.layers:
        if engine.compile == "on" or (engine.compile == "auto" and dist.device.type == "cuda"):
            _replace_forward(layer, torch.compile(layer.forward))
        if engine.activation_checkpointing:
            again = partial(checkpoint, layer.forward, use_reentrant=False, preserve_rng_state=model.model.dropout > 0)
            _replace_forward(layer, again)
    if dist.world_size > 1 and engine.sharding == "full":
        _shard(model, dtype, dist)
    elif dtype != torch.float32:  # the residual stream, as in a sharded model
        model.model.embed_tokens.register_forward_hook(lambda module, inputs, output: output.to(dtype))
    model.to_empty(device=dist.device)
    return Net(model, dist, dtype)


def _shard(model: RewardModel, dtype: torch.dtype, dist: Dist) -> None:
    """Layers compute in `dtype`; embedding, final norm and head, and all sums of gradients, stay fp32."""
    from torch.distributed.device_mesh import init_device_mesh  # noqa: PLC0415 - seconds of imports that few need
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard  # noqa: PLC0415

    mesh = init_device_mesh(dist.device.type, (dist.world_size,))
    policy = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32)
    for layer in model.model.layers:
        fully_shard(layer, mesh=mesh, mp_policy=policy)
    fully_shard(model, mesh=mesh, mp_policy=MixedPrecisionPolicy(param_dtype=torch.float32))


def _replace_forward(module: nn.Module, forward: Callable[..., Any]) -> None:
    """On the instance, so that parameters keep their names and FSDP's hooks stay outside."""
    module.__dict__["forward"] = forward
