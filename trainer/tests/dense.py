"""The model by the textbook: one sequence at a time, a dense causal mask, no sharing. What packed scores must equal."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from polar.model import NORM_EPS, RewardModel, rotary, rotate


def dense_attention(attention: torch.nn.Module, x_TD: Tensor, theta: float) -> Tensor:
    length, heads, size = len(x_TD), attention.heads, attention.head_size
    cos, sin = rotary(torch.arange(length), size, theta)
    outputs = []
    for head in range(heads):
        shared = head // (heads // attention.kv_heads)
        own, key = slice(size * head, size * (head + 1)), slice(size * shared, size * (shared + 1))
        q = rotate(x_TD @ attention.q_proj.weight[own].T, cos[:, 0], sin[:, 0])
        k = rotate(x_TD @ attention.k_proj.weight[key].T, cos[:, 0], sin[:, 0])
        scores = (q @ k.T / math.sqrt(size)).masked_fill(torch.ones(length, length).triu(1).bool(), -math.inf)
        outputs.append(scores.softmax(-1) @ (x_TD @ attention.v_proj.weight[key].T))
    return torch.cat(outputs, dim=-1) @ attention.o_proj.weight.T


def dense_score(model: RewardModel, ids: Tensor) -> Tensor:
    decoder = model.model
    x = decoder.embed_tokens(ids)
    for layer in decoder.layers:
        normed = F.rms_norm(x, x.shape[-1:], layer.input_layernorm.weight, NORM_EPS)
        x = x + dense_attention(layer.self_attn, normed, decoder.arch.rope_theta)
        normed = F.rms_norm(x, x.shape[-1:], layer.post_attention_layernorm.weight, NORM_EPS)
        gated = F.silu(normed @ layer.mlp.gate_proj.weight.T) * (normed @ layer.mlp.up_proj.weight.T)
        x = x + gated @ layer.mlp.down_proj.weight.T
    return (F.rms_norm(x[-1], x.shape[-1:], decoder.norm.weight, NORM_EPS) @ model.v_head.weight.T)[0]
