import numpy as np
import pytest
import torch
from dense import dense_score

from polar.attention import attend, layout_of
from polar.config import Architecture
from polar.encode import Ids
from polar.model import RewardModel, build
from polar.packing import micro_batches, pack, packed_length, shared_length

ARCH = Architecture(
    hidden_size=32, num_layers=3, num_heads=4, num_key_value_heads=2, intermediate_size=48, rope_theta=10_000
)
# prefix length and branch lengths of each group: alike, ragged, tiny, one long beside short ones, nothing shared
SHAPES = {
    "equal": [(9, [5, 5])] * 4,
    "ragged": [(30, [5, 17, 9]), (4, [1, 2, 3]), (11, [8, 1, 20])],
    "tiny": [(1, [1, 1])] * 3,
    "long": [(150, [90, 260]), (140, [250, 80]), (3, [2, 4])],
    "many negatives": [(40, [7, 30, 12, 3, 1, 25, 18, 9])],
    "single candidates": [(0, [12]), (0, [3]), (0, [40])],
}


def model() -> RewardModel:
    made = build(ARCH, 60, dropout=0.0, seed=0)
    torch.nn.init.normal_(made.v_head.weight, std=0.2, generator=torch.Generator().manual_seed(9))
    return made


def groups_of(shapes: list[tuple[int, list[int]]], seed: int = 0) -> list[list[Ids]]:
    rng = np.random.default_rng(seed)
    made = []
    for prefix, branches in shapes:
        shared = rng.integers(4, 60, prefix)
        # branches begin with different tokens, so that exactly `prefix` tokens are shared
        own = [np.append(4 + i % 50, rng.integers(4, 60, length))[:length] for i, length in enumerate(branches)]
        made.append([np.concatenate([shared, branch]).astype(np.int32) for branch in own])
    return made


def gradients(net: RewardModel) -> torch.Tensor:
    grad = torch.cat([torch.zeros(p.numel()) if p.grad is None else p.grad.flatten() for p in net.parameters()])
    net.zero_grad()
    return grad


@pytest.mark.parametrize("share", [True, False], ids=["shared", "unshared"])
@pytest.mark.parametrize("name", SHAPES)
def test_packed_scores_and_gradients_are_those_of_every_sequence_alone(name: str, share: bool) -> None:
    net, groups = model(), groups_of(SHAPES[name])
    sequences = [torch.from_numpy(s).long() for group in groups for s in group]
    weights = torch.linspace(-1.0, 1.5, len(sequences))
    want = torch.stack([dense_score(net, ids) for ids in sequences])
    (want * weights).sum().backward()
    want_grad = gradients(net)
    got = net(pack(groups, np.arange(len(groups)), share=share))
    (got * weights).sum().backward()
    assert torch.allclose(got, want, atol=1e-5)
    got_grad = gradients(net)
    assert (got_grad - want_grad).abs().max() <= 1e-5 * max(1.0, want_grad.abs().max().item())


def test_a_group_costs_its_shared_tokens_once() -> None:
    groups = groups_of([(30, [5, 17]), (11, [8, 20])])
    packed = pack(groups, np.arange(2))
    assert packed.tokens == 30 + 22 + 11 + 28
    assert packed.naive_tokens == 60 + 22 + 22 + 28
    assert packed.tokens == sum(packed_length(g) for g in groups)
    assert pack(groups, np.arange(2), share=False).tokens == packed.naive_tokens


def test_the_stream_holds_every_sequence_at_its_own_positions() -> None:
    groups = groups_of(SHAPES["ragged"])
    packed = pack(groups, np.arange(3))
    ids, position = packed.ids.numpy(), packed.position.numpy()
    start = 0
    for (prefix, branches), group, rewards in zip(
        SHAPES["ragged"], groups, packed.rewards.view(3, 3).tolist(), strict=True
    ):
        end = start + prefix
        assert position[start:end].tolist() == list(range(prefix))
        for length, sequence, reward in zip(branches, group, rewards, strict=True):
            whole = np.concatenate([ids[start : start + prefix], ids[end : end + length]])
            assert whole.tolist() == sequence.tolist()
            assert position[end : end + length].tolist() == list(range(prefix, prefix + length))
            end += length
            assert reward == end - 1
        start = end


def test_equal_candidates_share_all_but_their_reward_token() -> None:
    same = np.array([1, 5, 6, 7, 9], dtype=np.int32)
    assert shared_length([same, same.copy()]) == 4
    net = model()
    scores = net(pack([[same, same.copy()]], np.arange(1)))
    assert scores[0].item() == pytest.approx(scores[1].item(), abs=1e-6)


def test_a_candidate_that_is_the_beginning_of_another_keeps_its_own_reward_token() -> None:
    short, long = (np.array(ids, dtype=np.int32) for ids in ([1, 5, 9], [1, 5, 9, 6, 9]))
    assert shared_length([short, long]) == 2
    net = model()
    want = [dense_score(net, torch.from_numpy(s).long()).item() for s in (short, long)]
    assert net(pack([[short, long]], np.arange(1))).tolist() == pytest.approx(want, abs=1e-5)


@pytest.mark.parametrize("most", [50, 100, 10_000])
def test_every_group_is_in_one_micro_batch_within_the_token_budget(most: int) -> None:
    groups = groups_of([(p, [b, b + 2]) for p, b in zip(range(1, 40), range(40, 1, -1), strict=True)])
    batches = list(micro_batches(groups, most))
    assert sorted(i for batch in batches for i in batch.order) == list(range(len(groups)))
    assert all(batch.tokens <= most or len(batch.order) == 1 for batch in batches)
    for batch in batches:
        ends = [group[c][-1] for group in (groups[i] for i in batch.order) for c in range(2)]
        assert batch.ids[batch.rewards].tolist() == ends


def test_a_long_stream_needs_no_mask_of_its_square() -> None:
    """16k tokens: a boolean mask alone would be 256 MiB; what attention keeps besides q, k, v is a few rows."""
    packed = pack(groups_of([(8_000, [4_000, 4_100])]), np.arange(1))
    assert packed.tokens > 16_000
    kept = [part for block in (*packed.layout.blocks, *packed.layout.final) for part in block.parts]
    tensors = [t for part in kept for t in (part.mask, part.keys.index, part.keys.padding) if t is not None]
    assert sum(t.numel() for t in tensors) < 8 * packed.tokens


def test_a_score_does_not_depend_on_its_neighbours_in_the_group_or_the_stream() -> None:
    net, groups = model(), groups_of(SHAPES["ragged"])
    with torch.no_grad():
        together = net(pack(groups, np.arange(3))).view(3, 3)
        fewer = net(pack([groups[1][::2]], np.arange(1)))
    assert torch.allclose(together[1, ::2], fewer, atol=1e-5)


def test_gradients_stay_finite_when_a_query_would_like_a_key_that_it_may_not_see() -> None:
    """Padding repeats a branch's first query, whose log-sum-exp knows nothing of the keys after it."""
    layout = layout_of(np.array([40, 40]), np.array([[20, 30], [25, 28]]))
    generator = torch.Generator().manual_seed(0)
    q, k, v = torch.randn(3, 183, 1, 16, generator=generator)
    k[45] = q[40] * 800 / q[40].square().sum()
    tensors = [t.requires_grad_() for t in (q, k, v)]
    attend(*tensors, layout, final=False).square().sum().backward()
    assert all(t.grad is not None and t.grad.isfinite().all() for t in tensors)
