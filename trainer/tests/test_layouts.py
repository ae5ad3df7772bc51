import pytest
import torch
from hf_folders import internlm2_tensors, llama_tensors

from polar.config import Architecture
from polar.layouts import HEAD, entries, fuse, own_shapes, split, stored_shape
from polar.model import RewardModel

SMALL = Architecture(
    hidden_size=32, num_layers=3, num_heads=4, num_key_value_heads=2, intermediate_size=48, rope_theta=10000
)


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_names_and_shapes_are_those_of_the_model_in_its_order(kv_heads: int) -> None:
    arch = Architecture(
        hidden_size=32, num_layers=2, num_heads=4, num_key_value_heads=kv_heads, intermediate_size=40, rope_theta=10000
    )
    model = RewardModel(arch, 50)
    wanted = {name: tuple(weight.shape) for name, weight in model.state_dict().items()}
    assert list(own_shapes(arch, 50).items()) == list(wanted.items())


def test_every_tensor_of_the_internlm2_layout_has_a_place() -> None:
    shapes = own_shapes(SMALL, 320)
    wanted = {name: tuple(tensor.shape) for name, tensor in internlm2_tensors(llama_tensors()).items()}
    assert {entry.stored: stored_shape(entry, shapes) for entry in entries("internlm2", list(shapes), HEAD)} == wanted


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_splitting_and_fusing_queries_keys_and_values_are_inverse(kv_heads: int) -> None:
    arch = Architecture(
        hidden_size=32, num_layers=2, num_heads=4, num_key_value_heads=kv_heads, intermediate_size=40, rope_theta=10000
    )
    rows = (arch.num_heads + 2 * kv_heads) * arch.head_size()
    stored = torch.arange(rows * 32, dtype=torch.float32).view(rows, 32)
    q, k, v = split(stored, arch)
    assert (q.shape, k.shape, v.shape) == ((32, 32), (kv_heads * 8, 32), (kv_heads * 8, 32))
    assert torch.equal(fuse((q, k, v), arch), stored)
