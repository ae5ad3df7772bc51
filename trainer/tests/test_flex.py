import numpy as np
import pytest
import torch
from test_packing import SHAPES, groups_of, model
from torch.nn.attention.flex_attention import create_block_mask

from polar.attention import layout_of
from polar.flex import BLOCK, masks_of
from polar.packing import Packed, pack

CPU = torch.device("cpu")


def on_flex(packed: Packed) -> Packed:
    lengths = packed.layout.prefix, packed.layout.branch
    layout = layout_of(*lengths)
    object.__setattr__(layout, "flex", masks_of(*lengths, CPU))
    object.__setattr__(packed, "layout", layout)
    return packed


@pytest.mark.parametrize("name", ["equal", "ragged", "single candidates"])
def test_flex_attention_gives_the_scores_of_the_cpu_path(name: str) -> None:
    """The eager form of FlexAttention on the CPU; it has no backward pass there."""
    net, groups = model(), groups_of(SHAPES[name])
    with torch.no_grad():
        want = net(pack(groups, np.arange(len(groups))))
        got = net(on_flex(pack(groups, np.arange(len(groups)))))
    assert torch.allclose(got, want, atol=1e-5)


@pytest.mark.parametrize("name", SHAPES)
def test_the_blocks_made_from_lengths_are_those_the_mask_needs(name: str) -> None:
    packed = pack(groups_of(SHAPES[name]), np.arange(len(SHAPES[name])))
    masks = masks_of(packed.layout.prefix, packed.layout.branch, CPU)
    for made in (masks.tokens, masks.rewards):
        queries, keys = made.shape[-2:]
        want = create_block_mask(made.mask_mod, None, None, queries, keys, device="cpu", BLOCK_SIZE=BLOCK)
        assert torch.equal(made.to_dense(), want.to_dense())
        full, may_be_full = (listed(m.full_kv_num_blocks, m.full_kv_indices) for m in (made, want))
        assert full <= may_be_full


def listed(counts: torch.Tensor, indices: torch.Tensor) -> set[tuple[int, int]]:
    rows = zip(counts[0, 0].tolist(), indices[0, 0].tolist(), strict=True)
    return {(row, column) for row, (count, columns) in enumerate(rows) for column in columns[:count]}


def test_long_streams_skip_most_blocks() -> None:
    packed = pack(groups_of([(1_000, [700, 800])] * 6), np.arange(6))
    masks = masks_of(packed.layout.prefix, packed.layout.branch, CPU)
    assert masks.tokens.sparsity() > 85
