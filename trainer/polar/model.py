"""A decoder of the InternLM2 / Llama family with a linear head on the reward token (paper section 4.1).

RMSNorm in fp32, rotary embedding in half-rotation form, SwiGLU, grouped-query attention, no biases, no tied weights, no
language-model head. Names are those of the Llama layout. Shapes: N tokens of a packed stream (`packing.py`), R reward
tokens, D hidden size, H heads, K key/value heads, E head size.

In the last layer only the reward tokens pay for queries and feed-forward: scores need them alone.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from polar.attention import Layout, attend
from polar.config import Architecture
from polar.packing import Packed

NORM_EPS = 1e-5
EMBEDDING_STD = 0.02


class RMSNorm(nn.Module):
    """Root-mean-square norm, computed in fp32."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x.float(), (x.shape[-1],), self.weight.float(), NORM_EPS).to(x.dtype)


@dataclass(frozen=True, slots=True)
class Stream:
    """What every layer needs to know of the tokens: rotary cosines and sines [N, 1, E], and how they attend."""

    rope: tuple[Tensor, Tensor]
    rewards: Tensor
    layout: Layout


def rotary(positions: Tensor, head_size: int, theta: float) -> tuple[Tensor, Tensor]:
    """Cosines and sines [N, 1, head_size] of the rotary embedding at the positions [N]."""
    frequencies = theta ** (-torch.arange(0, head_size, 2, device=positions.device, dtype=torch.float32) / head_size)
    angles = positions[:, None].float() * frequencies
    angles = torch.cat([angles, angles], dim=-1)[:, None]
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn the two halves of each head by the angles of its position."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


class Attention(nn.Module):
    """Grouped-query attention over packed groups."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head_size = arch.num_heads, arch.num_key_value_heads, arch.head_size()
        kv_size = self.kv_heads * self.head_size
        self.q_proj = nn.Linear(arch.hidden_size, arch.hidden_size, bias=False)
        self.k_proj = nn.Linear(arch.hidden_size, kv_size, bias=False)
        self.v_proj = nn.Linear(arch.hidden_size, kv_size, bias=False)
        self.o_proj = nn.Linear(arch.hidden_size, arch.hidden_size, bias=False)

    def forward(self, x_ND: Tensor, stream: Stream, final: bool) -> Tensor:
        """Attention output of all tokens [N, D], or of the reward tokens only [R, D]."""
        asked = x_ND[stream.rewards] if final else x_ND
        q, k, v = (project(part).view(len(part), -1, self.head_size) for project, part in
                   ((self.q_proj, asked), (self.k_proj, x_ND), (self.v_proj, x_ND)))
        rope = stream.rope
        q_rope = (rope[0][stream.rewards], rope[1][stream.rewards]) if final else rope
        out = attend(rotate(q, *q_rope).to(v.dtype), rotate(k, *rope).to(v.dtype), v, stream.layout, final=final)
        projected: Tensor = self.o_proj(out.flatten(1))
        return projected


class FeedForward(nn.Module):
    """SwiGLU."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(arch.hidden_size, arch.intermediate_size, bias=False)
        self.up_proj = nn.Linear(arch.hidden_size, arch.intermediate_size, bias=False)
        self.down_proj = nn.Linear(arch.intermediate_size, arch.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        down: Tensor = self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))
        return down


class Layer(nn.Module):
    """One pre-norm decoder layer."""

    def __init__(self, arch: Architecture, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.self_attn = Attention(arch)
        self.mlp = FeedForward(arch)
        self.input_layernorm = RMSNorm(arch.hidden_size)
        self.post_attention_layernorm = RMSNorm(arch.hidden_size)

    def forward(self, x_ND: Tensor, stream: Stream, final: bool = False) -> Tensor:
        """The residual stream after this layer [N, D]; in the final layer at the reward tokens only [R, D]."""
        attended = self.self_attn(self.input_layernorm(x_ND), stream, final)
        x = (x_ND[stream.rewards] if final else x_ND) + F.dropout(attended, self.dropout, self.training)
        return x + F.dropout(self.mlp(self.post_attention_layernorm(x)), self.dropout, self.training)


class Decoder(nn.Module):
    """Embedding, layers and final norm."""

    def __init__(self, arch: Architecture, vocab_size: int, dropout: float) -> None:
        super().__init__()
        self.arch, self.dropout = arch, dropout
        self.embed_tokens = nn.Embedding(vocab_size, arch.hidden_size)
        self.layers = nn.ModuleList(Layer(arch, dropout) for _ in range(arch.num_layers))
        self.norm = RMSNorm(arch.hidden_size)

    def forward(self, packed: Packed) -> Tensor:
        """Final hidden states at the reward tokens [R, D]."""
        stream = self.stream(packed)
        x = self._residual(packed, stream, len(self.layers) - 1)
        normed: Tensor = self.norm(self.layers[-1](x, stream, final=True))
        return normed

    def residual(self, packed: Packed, depth: int) -> Tensor:
        """The residual stream after the first `depth` layers [N, D]."""
        return self._residual(packed, self.stream(packed), depth)

    def _residual(self, packed: Packed, stream: Stream, depth: int) -> Tensor:
        x = F.dropout(self.embed_tokens(packed.ids), self.dropout, self.training)
        for layer in list(self.layers)[:depth]:
            x = layer(x, stream)
        return x

    def stream(self, packed: Packed) -> Stream:
        """What the layers need to know of a batch."""
        rope = rotary(packed.position, self.arch.head_size(), self.arch.rope_theta)
        return Stream(rope=rope, rewards=packed.rewards, layout=packed.layout)


class RewardModel(nn.Module):
    """r(prompt, reference, candidate): the head's value at the reward token, the last token of a sequence."""

    def __init__(self, arch: Architecture, vocab_size: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.model = Decoder(arch, vocab_size, dropout)
        self.v_head = nn.Linear(arch.hidden_size, 1, bias=False)

    def forward(self, packed: Packed) -> Tensor:
        """Scores [groups * candidates], fp32, group after group."""
        hidden: Tensor = self.model(packed)
        return (hidden.float() * self.v_head.weight[0].float()).sum(dim=-1)  # fp32 whatever the layers compute in


@dataclass(frozen=True, slots=True)
class ModelSize:
    """Parameter counts. With a large vocabulary a small model is nearly all embedding, so both are reported."""

    parameters: int
    without_embedding: int

    def flops(self, tokens: int) -> float:
        """Training FLOPs of computing `tokens` tokens, 6 N per token with N without the embedding (a table look-up)."""
        return 6.0 * self.without_embedding * tokens


def build(arch: Architecture, vocab_size: int, dropout: float, seed: int) -> RewardModel:
    """A model with `initial_weights`."""
    model = RewardModel(arch, vocab_size, dropout)
    with torch.no_grad():
        for parameter, (_, weight) in zip(model.parameters(), initial_weights(model, seed), strict=True):
            parameter.copy_(weight)
    return model


def initial_weights(model: RewardModel, seed: int) -> Iterator[tuple[str, Tensor]]:
    """Seeded random weights by name, one at a time, and a zero head, as the official code starts its head.

    Only names and shapes of `model` are used. Matrices have standard deviation 1 / sqrt(fan in): 0.02 for a large
    model, more for a small one, which would otherwise hardly see what its attention gathers beside each token's own
    embedding.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1:
            yield name, torch.ones(parameter.shape)
            continue
        std = EMBEDDING_STD if "embed_tokens" in name else 1 / math.sqrt(parameter.shape[1])
        weight = torch.empty(parameter.shape).normal_(0, std, generator=generator)
        yield name, torch.zeros_like(weight) if parameter is model.v_head.weight else weight


def size_of(model: RewardModel) -> ModelSize:
    """Count the parameters."""
    total = sum(p.numel() for p in model.parameters())
    return ModelSize(total, total - model.model.embed_tokens.weight.numel())
