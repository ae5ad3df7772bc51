"""AdamW with weight decay on matrices only, and its state as named tensors for checkpoints."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim import AdamW

from polar.config import Optimizer
from polar.errors import CheckpointError

Named = list[tuple[str, nn.Parameter]]
STATE = ("exp_avg", "exp_avg_sq", "step")


def adamw(model: nn.Module, options: Optimizer) -> AdamW:
    """AdamW over a model's parameters: matrices decay, norms do not."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": options.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return AdamW([g for g in groups if g["params"]], lr=options.learning_rate, betas=(options.beta1, options.beta2))


def set_learning_rate(optimizer: AdamW, learning_rate: float) -> None:
    """Set the rate of the next step."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate


def clip_gradients(parameters: Iterable[nn.Parameter], largest: float) -> Tensor:
    """Scale the gradients down to a global norm of `largest` (0: leave them); returns the norm before."""
    with_gradient = [p for p in parameters if p.grad is not None]
    return nn.utils.clip_grad_norm_(with_gradient, largest if largest > 0 else float("inf"))


def state_tensors(optimizer: AdamW, model: nn.Module) -> dict[str, Tensor]:
    """The optimizer's state as `parameter name/moment` -> tensor."""
    tensors = {}
    for name, parameter in model.named_parameters():
        for key in STATE:
            if key in optimizer.state.get(parameter, {}):
                tensors[f"{name}/{key}"] = optimizer.state[parameter][key].detach()
    return tensors


def load_state(optimizer: AdamW, model: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Put `state_tensors` back. CheckpointError when one does not belong to the model."""
    parameters = dict(model.named_parameters())
    for full_name, tensor in tensors.items():
        name, _, key = full_name.rpartition("/")
        parameter = parameters.get(name)
        if parameter is None or key not in STATE:
            raise CheckpointError(f"optimizer state {full_name}: the model has no such parameter")
        if key != "step" and tensor.shape != parameter.shape:
            raise CheckpointError(
                f"optimizer state {full_name}: expected shape {tuple(parameter.shape)}, got {tuple(tensor.shape)}"
            )
        device = torch.device("cpu") if key == "step" else parameter.device
        optimizer.state[parameter][key] = tensor.to(device).clone()
