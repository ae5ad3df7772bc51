"""Names and shapes of a model's tensors in the InternLM2 and Llama layouts (Hugging Face folders).

The trainer's own names are those of Llama. InternLM2 stores query, key and value matrices of a layer as one, `wqkv`:
for every key/value head its query heads, its key head and its value head. Both use the half-rotation form of the rotary
embedding, so no rows are permuted. Shapes: E head size, D hidden size.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from polar.config import Architecture

Layout = Literal["internlm2", "llama"]
HEAD = "v_head.weight"
LLAMA_HEAD = "score.weight"

_INTERNLM2 = {
    "self_attn.o_proj": "attention.wo",
    "mlp.gate_proj": "feed_forward.w1",
    "mlp.up_proj": "feed_forward.w3",
    "mlp.down_proj": "feed_forward.w2",
    "input_layernorm": "attention_norm",
    "post_attention_layernorm": "ffn_norm",
}
_QKV = ("q_proj", "k_proj", "v_proj")


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored tensor and the own tensors made of it: one, or query, key and value matrices fused into one."""

    stored: str
    own: tuple[str, ...]


def own_shapes(arch: Architecture, vocab_size: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the trainer's own tensors, in the model's order."""
    hidden, mlp = arch.hidden_size, arch.intermediate_size
    keys = arch.num_key_value_heads * arch.head_size()
    layer = {
        "self_attn.q_proj": (hidden, hidden),
        "self_attn.k_proj": (keys, hidden),
        "self_attn.v_proj": (keys, hidden),
        "self_attn.o_proj": (hidden, hidden),
        "mlp.gate_proj": (mlp, hidden),
        "mlp.up_proj": (mlp, hidden),
        "mlp.down_proj": (hidden, mlp),
        "input_layernorm": (hidden,),
        "post_attention_layernorm": (hidden,),
    }
    layers = {
        f"model.layers.{number}.{name}.weight": shape
        for number in range(arch.num_layers)
        for name, shape in layer.items()
    }
    embedding = {"model.embed_tokens.weight": (vocab_size, hidden)}
    return {**embedding, **layers, "model.norm.weight": (hidden,), HEAD: (1, hidden)}


def entries(layout: Layout, own: Sequence[str], head: str | None) -> Iterator[Entry]:
    """The stored tensors of a layout, in the order of the own names. `head` is the stored name of the reward head, None
    when it is not stored."""
    for name in own:
        if name == HEAD:
            if head is not None:
                yield Entry(head, (HEAD,))
        elif layout == "llama":
            yield Entry(name, (name,))
        elif name.endswith(".self_attn.q_proj.weight"):
            layer = name.removesuffix("self_attn.q_proj.weight")
            yield Entry(f"{layer}attention.wqkv.weight", tuple(f"{layer}self_attn.{part}.weight" for part in _QKV))
        elif not name.endswith((".k_proj.weight", ".v_proj.weight")):
            yield Entry(_internlm2_name(name), (name,))


def stored_shape(entry: Entry, own: dict[str, tuple[int, ...]]) -> tuple[int, ...]:
    """Shape of a stored tensor."""
    shapes = [own[name] for name in entry.own]
    return (sum(shape[0] for shape in shapes), *shapes[0][1:])


def split(stored: Tensor, arch: Architecture) -> tuple[Tensor, Tensor, Tensor]:
    """Query, key and value matrices [heads * E, D] of a fused one."""
    groups = _groups(arch)
    parts = stored.view(arch.num_key_value_heads, groups + 2, arch.head_size(), -1)
    columns = stored.shape[1]
    return (
        parts[:, :groups].reshape(-1, columns),
        parts[:, groups].reshape(-1, columns),
        parts[:, groups + 1].reshape(-1, columns),
    )


def fuse(parts: Sequence[Tensor], arch: Architecture) -> Tensor:
    """The inverse of `split`."""
    columns = parts[0].shape[1]
    split_heads = [part.view(arch.num_key_value_heads, -1, arch.head_size(), columns) for part in parts]
    return torch.cat(split_heads, dim=1).view(-1, columns)


def _internlm2_name(name: str) -> str:
    if name == "model.embed_tokens.weight":
        return "model.tok_embeddings.weight"
    for own, stored in _INTERNLM2.items():
        if name.endswith(f".{own}.weight"):
            return name.replace(own, stored)
    return name


def _groups(arch: Architecture) -> int:
    return arch.num_heads // arch.num_key_value_heads
