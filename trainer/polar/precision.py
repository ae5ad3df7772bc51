"""Number formats: what the layers compute in. Weights, gradients' sums and optimizer state are always fp32."""

from dataclasses import dataclass
from typing import Literal

import torch

Name = Literal["auto", "fp32", "bf16", "fp16"]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
GROWTH_STEPS = 2000
LARGEST = 2.0**24


def dtype_of(name: Name, device: torch.device) -> torch.dtype:
    """The format of a name; `auto` is bf16 on a GPU and fp32 on a CPU."""
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    return DTYPES[name]


@dataclass(slots=True)
class LossScale:
    """What a loss is multiplied by before the backward pass, so that small fp16 gradients do not vanish.

    Halved when a gradient overflows, and the batch is then repeated; doubled after `GROWTH_STEPS` good steps. It is the
    same on every rank, because the gradient's norm is, and is saved with a checkpoint.
    """

    value: float = 2.0**16
    good_steps: int = 0

    def overflowed(self) -> bool:
        """Halve. False when the scale is 1 already: the gradient itself is not finite."""
        self.good_steps = 0
        self.value /= 2
        return self.value >= 1

    def succeeded(self) -> None:
        """Count a good step."""
        self.good_steps += 1
        if self.good_steps >= GROWTH_STEPS and self.value < LARGEST:
            self.value, self.good_steps = self.value * 2, 0
