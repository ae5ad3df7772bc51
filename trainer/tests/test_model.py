import math

import numpy as np
import pytest
import torch
from dense import dense_attention

from polar.config import Architecture
from polar.model import RewardModel, RMSNorm, build, rotary, rotate, size_of
from polar.packing import Packed, pack

ARCH = Architecture(
    hidden_size=32, num_layers=3, num_heads=4, num_key_value_heads=2, intermediate_size=48, rope_theta=10_000
)


def model(seed: int = 0) -> RewardModel:
    made = build(ARCH, 60, dropout=0.0, seed=seed)
    torch.nn.init.normal_(made.v_head.weight, generator=torch.Generator().manual_seed(9))
    return made.eval()


def sequences(*lengths: int, seed: int = 1) -> Packed:
    rng = np.random.default_rng(seed)
    return pack([[rng.integers(4, 60, length).astype(np.int32)] for length in lengths], np.arange(len(lengths)))


def test_a_score_depends_on_every_token() -> None:
    net, packed = model(), sequences(9)
    score = net(packed).item()
    for place in range(9):
        kept = packed.ids[place].item()
        packed.ids[place] = 4 if kept != 4 else 5
        assert net(packed).item() != score
        packed.ids[place] = kept


def test_gradients_reach_every_parameter_but_unused_embeddings() -> None:
    net = model().train()
    net(sequences(10, 10, 10, 10)).sum().backward()
    missing = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert missing == []


def test_attention_is_the_textbook_formula_with_shared_key_value_heads() -> None:
    decoder, packed = model().model, sequences(5)
    x = torch.randn(5, 32, generator=torch.Generator().manual_seed(3))
    attention = decoder.layers[0].self_attn
    want = dense_attention(attention, x, 10_000)
    stream = decoder.stream(packed)
    assert torch.allclose(attention(x, stream, False), want, atol=1e-5)
    assert torch.allclose(attention(x, stream, True), want[4:], atol=1e-5)


def test_rotary_turns_halves_and_keeps_lengths_and_relative_angles() -> None:
    cos, sin = rotary(torch.tensor([0, 1, 5, 6]), 8, 100.0)
    x = torch.randn(8, generator=torch.Generator().manual_seed(4)).expand(4, 1, 8)
    turned = rotate(x, cos, sin)[:, 0]
    x = x[:, 0]
    assert torch.allclose(turned[0], x[0])
    assert torch.allclose(turned.norm(dim=-1), x.norm(dim=-1))
    assert torch.allclose(turned[0] @ turned[1], turned[2] @ turned[3], atol=1e-5)
    assert cos[1, 0].tolist() == pytest.approx([math.cos(100 ** (-i / 4)) for i in range(4)] * 2)


def test_norm_is_computed_in_full_precision() -> None:
    x = torch.full((1, 4), 300.0, dtype=torch.float16)
    assert RMSNorm(4).half()(x).tolist() == [[1.0] * 4]


def test_names_are_those_of_the_llama_layout() -> None:
    names = dict(model().named_parameters())
    assert {"model.embed_tokens.weight", "model.norm.weight", "v_head.weight"} < names.keys()
    layer = {name.removeprefix("model.layers.2.") for name in names if name.startswith("model.layers.2.")}
    assert layer == {
        "self_attn.q_proj.weight", "self_attn.k_proj.weight", "self_attn.v_proj.weight", "self_attn.o_proj.weight",
        "mlp.gate_proj.weight", "mlp.up_proj.weight", "mlp.down_proj.weight", "input_layernorm.weight",
        "post_attention_layernorm.weight",
    }  # fmt: skip


def test_a_new_model_scores_zero_and_equal_seeds_give_equal_weights() -> None:
    one, same, other = (build(ARCH, 60, 0.0, seed) for seed in (1, 1, 2))
    assert one(sequences(6, 6)).tolist() == [0.0, 0.0]
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not torch.equal(one.model.embed_tokens.weight, other.model.embed_tokens.weight)


def test_parameters_are_counted_with_and_without_the_embedding() -> None:
    layer = 2 * 32 * 32 + 2 * 32 * 16 + 3 * 32 * 48 + 2 * 32
    size = size_of(model())
    assert size.without_embedding == 3 * layer + 32 + 32
    assert size.parameters == size.without_embedding + 60 * 32
    assert size.flops(100) == 6 * size.without_embedding * 100


def test_dropout_acts_while_training_only() -> None:
    net = build(ARCH, 60, dropout=0.5, seed=0)
    torch.nn.init.ones_(net.v_head.weight)
    packed = sequences(8)
    assert net.train()(packed).item() != net(packed).item()
    assert net.eval()(packed).item() == net(packed).item()
