"""A decoder of the InternLM2 / Llama family with a linear head on the reward token (paper section 4.1).

RMSNorm in fp32, rotary embedding in half-rotation form, SwiGLU, grouped-query attention, no biases, no tied weights, no
language-model head. Names are those of the Llama layout. Shapes: B sequences, T tokens, P positions, D hidden size,
H heads, K key/value heads, E head size.

Sequences are padded on the right. Attention is causal, so no real token ever attends to padding and no mask is needed.
Only the positions asked for are computed in the last layer: scores need the reward token alone.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from polar.config import Architecture

NORM_EPS = 1e-5
EMBEDDING_STD = 0.02


class RMSNorm(nn.Module):
    """Root-mean-square norm, computed in fp32."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x.float(), (x.shape[-1],), self.weight.float(), NORM_EPS).to(x.dtype)


def rotary(positions: Tensor, head_size: int, theta: float) -> tuple[Tensor, Tensor]:
    """Cosines and sines [*positions.shape, head_size] of the rotary embedding."""
    frequencies = theta ** (-torch.arange(0, head_size, 2, device=positions.device, dtype=torch.float32) / head_size)
    angles = positions[..., None].float() * frequencies
    angles = torch.cat([angles, angles], dim=-1)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn the two halves of each head by the angles of its position."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


class Attention(nn.Module):
    """Causal grouped-query attention."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head_size = arch.num_heads, arch.num_key_value_heads, arch.head_size()
        kv_size = self.kv_heads * self.head_size
        self.q_proj = nn.Linear(arch.hidden_size, arch.hidden_size, bias=False)
        self.k_proj = nn.Linear(arch.hidden_size, kv_size, bias=False)
        self.v_proj = nn.Linear(arch.hidden_size, kv_size, bias=False)
        self.o_proj = nn.Linear(arch.hidden_size, arch.hidden_size, bias=False)

    def forward(self, x_BTD: Tensor, rope: tuple[Tensor, Tensor], at: Tensor | None) -> Tensor:
        """Attention output at all positions [B, T, D], or at the positions `at` [B, P] only: [B, P, D]."""
        B, T, D = x_BTD.shape
        cos, sin = rope
        k = rotate(self.k_proj(x_BTD).view(B, T, self.kv_heads, self.head_size).transpose(1, 2), cos, sin)
        v = self.v_proj(x_BTD).view(B, T, self.kv_heads, self.head_size).transpose(1, 2)
        asked = x_BTD if at is None else take(x_BTD, at)
        q = self.q_proj(asked).view(B, -1, self.heads, self.head_size).transpose(1, 2)
        if at is None:
            q, mask = rotate(q, cos, sin), None
        else:
            q = rotate(q, cos[at][:, None], sin[at][:, None])
            mask = (torch.arange(T, device=at.device) <= at[..., None])[:, None]
        repeats = self.heads // self.kv_heads
        k, v = (t.repeat_interleave(repeats, dim=1) if repeats > 1 else t for t in (k, v))
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)
        projected: Tensor = self.o_proj(out.transpose(1, 2).reshape(B, -1, D))
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

    def forward(self, x_BTD: Tensor, rope: tuple[Tensor, Tensor], at: Tensor | None = None) -> Tensor:
        attended = self.self_attn(self.input_layernorm(x_BTD), rope, at)
        x = (x_BTD if at is None else take(x_BTD, at)) + F.dropout(attended, self.dropout, self.training)
        return x + F.dropout(self.mlp(self.post_attention_layernorm(x)), self.dropout, self.training)


class Decoder(nn.Module):
    """Embedding, layers and final norm."""

    def __init__(self, arch: Architecture, vocab_size: int, dropout: float) -> None:
        super().__init__()
        self.arch, self.dropout = arch, dropout
        self.embed_tokens = nn.Embedding(vocab_size, arch.hidden_size)
        self.layers = nn.ModuleList(Layer(arch, dropout) for _ in range(arch.num_layers))
        self.norm = RMSNorm(arch.hidden_size)

    def forward(self, ids_BT: Tensor, at_BP: Tensor | None = None) -> Tensor:
        """Final hidden states at the given positions [B, P, D], or at all of them [B, T, D]."""
        x = self.residual(ids_BT, len(self.layers) - 1)
        normed: Tensor = self.norm(self.layers[-1](x, self._rope(ids_BT), at_BP))
        return normed

    def residual(self, ids_BT: Tensor, depth: int) -> Tensor:
        """The residual stream after the first `depth` layers [B, T, D]."""
        x = F.dropout(self.embed_tokens(ids_BT), self.dropout, self.training)
        rope = self._rope(ids_BT)
        for layer in list(self.layers)[:depth]:
            x = layer(x, rope)
        return x

    def _rope(self, ids_BT: Tensor) -> tuple[Tensor, Tensor]:
        positions = torch.arange(ids_BT.shape[1], device=ids_BT.device)
        return rotary(positions, self.arch.head_size(), self.arch.rope_theta)


class RewardModel(nn.Module):
    """r(prompt, reference, candidate): the head's value at the reward token, the last token of a sequence."""

    def __init__(self, arch: Architecture, vocab_size: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.model = Decoder(arch, vocab_size, dropout)
        self.v_head = nn.Linear(arch.hidden_size, 1, bias=False)

    def forward(self, ids_BT: Tensor, last_B: Tensor) -> Tensor:
        """Scores [B], fp32; `last_B` is the position of each sequence's reward token."""
        scores: Tensor = self.v_head(self.model(ids_BT, last_B[:, None]))[:, 0, 0]
        return scores.float()


@dataclass(frozen=True, slots=True)
class ModelSize:
    """Parameter counts. With a large vocabulary a small model is nearly all embedding, so both are reported."""

    parameters: int
    without_embedding: int

    def flops(self, tokens: int) -> float:
        """Training FLOPs of computing `tokens` tokens, 6 N per token with N without the embedding (a table look-up)."""
        return 6.0 * self.without_embedding * tokens


def build(arch: Architecture, vocab_size: int, dropout: float, seed: int) -> RewardModel:
    """A model with seeded random weights and a zero head, as the official code starts its head.

    Matrices have standard deviation 1 / sqrt(fan in): 0.02 for a large model, more for a small one, which would
    otherwise hardly see what its attention gathers beside each token's own embedding.
    """
    generator = torch.Generator().manual_seed(seed)
    model = RewardModel(arch, vocab_size, dropout)
    for name, weight in model.named_parameters():
        if weight.ndim > 1:
            std = EMBEDDING_STD if "embed_tokens" in name else 1 / math.sqrt(weight.shape[1])
            nn.init.normal_(weight, std=std, generator=generator)
    nn.init.zeros_(model.v_head.weight)
    return model


def size_of(model: RewardModel) -> ModelSize:
    """Count the parameters."""
    total = sum(p.numel() for p in model.parameters())
    return ModelSize(total, total - model.model.embed_tokens.weight.numel())


def take(x_BTD: Tensor, at_BP: Tensor) -> Tensor:
    """Rows of x at the given positions: [B, P, D]."""
    return x_BTD.gather(1, at_BP[..., None].expand(-1, -1, x_BTD.shape[-1]))
