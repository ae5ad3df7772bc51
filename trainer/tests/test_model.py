import math

import pytest
import torch

from polar.config import Architecture
from polar.model import RewardModel, RMSNorm, build, rotary, rotate, size_of

ARCH = Architecture(
    hidden_size=32, num_layers=3, num_heads=4, num_key_value_heads=2, intermediate_size=48, rope_theta=10_000
)


def model(seed: int = 0) -> RewardModel:
    made = build(ARCH, 60, dropout=0.0, seed=seed)
    torch.nn.init.normal_(made.v_head.weight, generator=torch.Generator().manual_seed(9))
    return made.eval()


def random_ids(batch: int, length: int, seed: int = 1) -> torch.Tensor:
    return torch.randint(4, 60, (batch, length), generator=torch.Generator().manual_seed(seed))


def last(length: int, batch: int = 1) -> torch.Tensor:
    return torch.full((batch,), length - 1)


def test_a_score_does_not_depend_on_what_follows_the_reward_token() -> None:
    net, ids = model(), random_ids(1, 12)
    changed = ids.clone()
    changed[0, 9:] = 5
    assert net(ids, last(9)).item() == net(changed, last(9)).item()


def test_a_score_depends_on_every_token_before_it() -> None:
    net, ids = model(), random_ids(1, 9)
    score = net(ids, last(9)).item()
    for place in range(9):
        changed = ids.clone()
        changed[0, place] = 4 if ids[0, place] != 4 else 5
        assert net(changed, last(9)).item() != score


def test_padding_and_neighbours_in_a_batch_do_not_change_a_score() -> None:
    net = model()
    short, long = random_ids(1, 7), random_ids(1, 15, seed=2)
    padded = torch.cat([torch.nn.functional.pad(short, (0, 8)), long])
    together = net(padded, torch.tensor([6, 14]))
    assert together[0].item() == pytest.approx(net(short, last(7)).item(), rel=1e-5)
    assert together[1].item() == pytest.approx(net(long, last(15)).item(), rel=1e-5)


def test_computing_some_positions_of_the_last_layer_gives_what_computing_all_gives() -> None:
    net, ids = model(), random_ids(3, 11)
    at = torch.tensor([[10, 3], [4, 4], [0, 7]])
    some, whole = net.model(ids, at), net.model(ids)
    assert torch.allclose(some, whole.gather(1, at[..., None].expand(-1, -1, 32)), atol=1e-6)


def test_gradients_reach_every_parameter_but_unused_embeddings() -> None:
    net, ids = model().train(), random_ids(4, 10)
    net(ids, last(10, 4)).sum().backward()
    missing = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert missing == []


def test_attention_is_the_textbook_formula_with_shared_key_value_heads() -> None:
    attention = model().model.layers[0].self_attn
    x = torch.randn(1, 5, 32, generator=torch.Generator().manual_seed(3))
    cos, sin = rotary(torch.arange(5), 8, 10_000)
    want = torch.zeros(1, 5, 32)
    for head in range(4):
        q = rotate(x @ attention.q_proj.weight[8 * head : 8 * head + 8].T, cos, sin)
        shared = head // 2
        k = rotate(x @ attention.k_proj.weight[8 * shared : 8 * shared + 8].T, cos, sin)
        v = x @ attention.v_proj.weight[8 * shared : 8 * shared + 8].T
        weights = q @ k.transpose(1, 2) / math.sqrt(8)
        weights = weights.masked_fill(torch.ones(5, 5).triu(1).bool(), -math.inf).softmax(-1)
        want[..., 8 * head : 8 * head + 8] = weights @ v
    got = attention(x, (cos, sin), None)
    assert torch.allclose(got, want @ attention.o_proj.weight.T, atol=1e-5)


def test_rotary_turns_halves_and_keeps_lengths_and_relative_angles() -> None:
    cos, sin = rotary(torch.tensor([0, 1, 5, 6]), 8, 100.0)
    x = torch.randn(8, generator=torch.Generator().manual_seed(4)).expand(4, 8)
    turned = rotate(x, cos, sin)
    assert torch.allclose(turned[0], x[0])
    assert torch.allclose(turned.norm(dim=-1), x.norm(dim=-1))
    assert torch.allclose(turned[0] @ turned[1], turned[2] @ turned[3], atol=1e-5)
    assert cos[1].tolist() == pytest.approx([math.cos(100 ** (-i / 4)) for i in range(4)] * 2)


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
    assert one(random_ids(2, 6), last(6, 2)).tolist() == [0.0, 0.0]
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
    ids = random_ids(1, 8)
    assert net.train()(ids, last(8)).item() != net(ids, last(8)).item()
    assert net.eval()(ids, last(8)).item() == net(ids, last(8)).item()
