from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from polar.config import Architecture
from polar.flops import sequence_flops, step_flops
from polar.model import build
from polar.packing import pack
from polar.peak import peak_flops

ARCH = Architecture(
    hidden_size=32, num_layers=3, num_heads=4, num_key_value_heads=2, intermediate_size=72, rope_theta=10000
)
PREFIX, BRANCH = [7, 12], [[3, 5], [1, 9]]


def linear_flops(share: bool) -> float:
    """Multiply-adds of every linear layer while the model scores the groups, forward only."""
    counted = 2.0 * 4 * ARCH.hidden_size  # the head, which is no layer of its own for each of the four rewards

    def count(module: nn.Linear, inputs: tuple[torch.Tensor], _output: Any) -> None:
        nonlocal counted
        counted += 2.0 * inputs[0].numel() * module.out_features

    model = build(ARCH, 40, 0.0, seed=0)
    for module in model.model.modules():
        if isinstance(module, nn.Linear):
            module.register_forward_hook(count)
    groups = [
        [np.array([1] * prefix + [2 + place] * own, dtype=np.int32) for place, own in enumerate(branch)]
        for prefix, branch in zip(PREFIX, BRANCH, strict=True)
    ]
    with torch.no_grad():
        model(pack(groups, np.arange(2), share=share))
    return counted


@pytest.mark.parametrize("share", [True, False])
def test_counts_what_the_model_multiplies_and_each_pair_of_query_and_key(share: bool) -> None:
    keys = 0
    for prefix, branch in zip(PREFIX, BRANCH, strict=True):
        keys += sum(range(1, prefix + 1)) * (1 if share else len(branch))
        keys += sum(prefix + at for own in branch for at in range(1, own + 1))
    last = sum(prefix + own for prefix, branch in zip(PREFIX, BRANCH, strict=True) for own in branch)
    attention = 4.0 * ARCH.hidden_size * ((ARCH.num_layers - 1) * keys + last)
    found = step_flops(ARCH, PREFIX, BRANCH)
    assert (found.useful if share else found.unshared) == pytest.approx(3 * (linear_flops(share) + attention))


def test_naive_computes_all_tokens_of_every_sequence_in_all_layers() -> None:
    per_token = 2 * (32 * 32 * 2 + 32 * 16 * 2 + 3 * 32 * 72)
    wanted = 3 * 3 * (10 * per_token + 4 * 32 * 55)
    assert sequence_flops(ARCH, [10]) == wanted
    whole = [prefix + own for prefix, branch in zip(PREFIX, BRANCH, strict=True) for own in branch]
    assert step_flops(ARCH, PREFIX, BRANCH).naive == sequence_flops(ARCH, whole)


def test_the_limit_of_sharing_a_long_prefix_nears_the_number_of_candidates() -> None:
    assert step_flops(ARCH, [100_000], [[1, 1, 1, 1]]).shared_limit == pytest.approx(4, rel=1e-3)
    assert step_flops(ARCH, [0], [[50, 50]]).shared_limit == 1
    assert step_flops(ARCH, [10], [[5, 5]]).naive_limit > step_flops(ARCH, [10], [[5, 5]]).shared_limit


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H200", 989.4e12),
        ("NVIDIA H100 80GB HBM3", 989.4e12),
        ("NVIDIA H100 PCIe", 756.5e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA L40S", 362e12),
        ("NVIDIA L4", 121e12),
        ("AMD EPYC 9B14", None),
        ("cpu", None),
    ],
)
def test_knows_the_peak_of_a_device_by_its_name(name: str, peak: float | None) -> None:
    assert peak_flops(name) == peak
