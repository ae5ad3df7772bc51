"""The reward model that all contenders start from: one set of seeded random weights."""

from pathlib import Path

import torch
from polar.config import Architecture
from polar.model import build
from safetensors.torch import save_file

from sizes import Size

SEED = 5
HEAD_STD = 0.02  # not zero: otherwise equal scores would prove nothing


def architecture(size: Size) -> Architecture:
    """Its dimensions."""
    return Architecture(
        hidden_size=size.hidden_size,
        num_layers=size.num_layers,
        num_heads=size.num_heads,
        num_key_value_heads=size.num_key_value_heads,
        intermediate_size=size.intermediate_size,
        rope_theta=size.rope_theta,
    )


def write_weights(size: Size, path: Path) -> None:
    """Draw the weights."""
    model = build(architecture(size), size.vocab_size, dropout=0.0, seed=SEED)
    generator = torch.Generator().manual_seed(SEED)
    torch.nn.init.normal_(model.v_head.weight, std=HEAD_STD, generator=generator)
    save_file({name: weight.detach() for name, weight in model.named_parameters()}, path)
