"""AdamW with weight decay on matrices only, and its state as named tensors for checkpoints."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim import AdamW

from polar.config import Optimizer
from polar.errors import CheckpointError
from polar.shard import fill
from polar.stored import reader, shape_of

Named = list[tuple[str, nn.Parameter]]
STATE = ("exp_avg", "exp_avg_sq", "step")


def adamw(model: nn.Module, options: Optimizer) -> AdamW:
    """AdamW over a model's parameters, fused where there is a kernel: matrices decay, norms do not."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": options.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    betas = (options.beta1, options.beta2)
    return AdamW([g for g in groups if g["params"]], lr=options.learning_rate, betas=betas, fused=True)


def set_learning_rate(optimizer: AdamW, learning_rate: float) -> None:
    """Set the rate of the next step."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate


def state_tensors(optimizer: AdamW, model: nn.Module) -> dict[str, Tensor]:
    """The optimizer's state as `parameter name/moment` -> tensor."""
    tensors = {}
    for name, parameter in model.named_parameters():
        for key in STATE:
            if key in optimizer.state.get(parameter, {}):
                tensors[f"{name}/{key}"] = optimizer.state[parameter][key].detach()
    return tensors


def load_state(optimizer: AdamW, model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put `state_tensors` back, or this rank's rows of them. CheckpointError when one does not belong to the model."""
    parameters = dict(model.named_parameters())
    for full_name in tensors:
        name, _, key = full_name.rpartition("/")
        parameter = parameters.get(name)
        if parameter is None or key not in STATE:
            raise CheckpointError(f"optimizer state {full_name}: the model has no such parameter")
        expected, got = () if key == "step" else tuple(parameter.shape), shape_of(tensors, full_name)
        if expected != got:
            raise CheckpointError(f"optimizer state {full_name}: expected shape {expected}, got {got}")
        if key == "step":
            optimizer.state[parameter][key] = tensors[full_name].to(parameter.device, copy=True)
        else:
            optimizer.state[parameter][key] = torch.zeros_like(parameter, requires_grad=False)
            fill(optimizer.state[parameter][key], reader(tensors, full_name))
