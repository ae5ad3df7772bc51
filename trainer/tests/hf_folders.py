"""Small Hugging Face folders with random weights, written name by name and head by head as the official layouts say."""

import functools
import json
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from polar.tokenizer import train_tokenizer

HIDDEN, LAYERS, HEADS, KV_HEADS, MLP, VOCAB = 32, 3, 4, 2, 48, 320
SIZE = HIDDEN // HEADS
Tensors = dict[str, Tensor]


def internlm2_config(**changes: Any) -> dict[str, Any]:
    """config.json as the released reward models have it."""
    return {
        "architectures": ["InternLM2ForRewardModel"],
        "model_type": "internlm2",
        "hidden_size": HIDDEN,
        "intermediate_size": MLP,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "vocab_size": VOCAB,
        "bias": False,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-05,
        "rope_theta": 50000000,
        "rope_scaling": {"factor": 2.0, "type": "dynamic"},
        "max_position_embeddings": 1000,
        "pretraining_tp": 1,
        "tie_word_embeddings": False,
        "torch_dtype": "float16",
        **changes,
    }


def llama_config(**changes: Any) -> dict[str, Any]:
    """config.json of a Llama language model."""
    own = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "rope_theta": 10000.0, "rope_scaling": None}
    return {**internlm2_config(**own), **changes}


def llama_tensors(dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensors:
    """Weights in the trainer's own names."""
    draw = torch.Generator().manual_seed(seed)

    def weight(rows: int, columns: int) -> Tensor:
        return (torch.randn(rows, columns, generator=draw) / columns**0.5).to(dtype)

    found = {"model.embed_tokens.weight": weight(VOCAB, HIDDEN)}
    for number in range(LAYERS):
        layer = f"model.layers.{number}."
        for name in ("input_layernorm", "post_attention_layernorm"):
            found[f"{layer}{name}.weight"] = (1 + 0.1 * torch.randn(HIDDEN, generator=draw)).to(dtype)
        found[f"{layer}self_attn.q_proj.weight"] = weight(HIDDEN, HIDDEN)
        found[f"{layer}self_attn.k_proj.weight"] = weight(KV_HEADS * SIZE, HIDDEN)
        found[f"{layer}self_attn.v_proj.weight"] = weight(KV_HEADS * SIZE, HIDDEN)
        found[f"{layer}self_attn.o_proj.weight"] = weight(HIDDEN, HIDDEN)
        found[f"{layer}mlp.gate_proj.weight"] = weight(MLP, HIDDEN)
        found[f"{layer}mlp.up_proj.weight"] = weight(MLP, HIDDEN)
        found[f"{layer}mlp.down_proj.weight"] = weight(HIDDEN, MLP)
    found["model.norm.weight"] = (1 + 0.1 * torch.randn(HIDDEN, generator=draw)).to(dtype)
    found["v_head.weight"] = weight(1, HIDDEN)
    return found


def internlm2_tensors(llama: Tensors) -> Tensors:
    """The same weights in the InternLM2 layout."""
    found = {
        "model.tok_embeddings.weight": llama["model.embed_tokens.weight"],
        "model.norm.weight": llama["model.norm.weight"],
        "v_head.weight": llama["v_head.weight"],
    }
    for number in range(LAYERS):
        layer = f"model.layers.{number}."
        q, k, v = (llama[f"{layer}self_attn.{part}_proj.weight"].split(SIZE) for part in "qkv")
        rows: list[Tensor] = []
        for kv_head in range(KV_HEADS):
            mine = HEADS // KV_HEADS
            rows += [*q[kv_head * mine : (kv_head + 1) * mine], k[kv_head], v[kv_head]]
        found |= {
            f"{layer}attention.wqkv.weight": torch.cat(rows),
            f"{layer}attention.wo.weight": llama[f"{layer}self_attn.o_proj.weight"],
            f"{layer}feed_forward.w1.weight": llama[f"{layer}mlp.gate_proj.weight"],
            f"{layer}feed_forward.w3.weight": llama[f"{layer}mlp.up_proj.weight"],
            f"{layer}feed_forward.w2.weight": llama[f"{layer}mlp.down_proj.weight"],
            f"{layer}attention_norm.weight": llama[f"{layer}input_layernorm.weight"],
            f"{layer}ffn_norm.weight": llama[f"{layer}post_attention_layernorm.weight"],
        }
    return found


@functools.cache
def tokenizer_json() -> str:
    """A tokenizer of the models' vocabulary."""
    return train_tokenizer(["river stone lamp"] * 4, VOCAB).to_json()


def write_folder(
    folder: Path, config: dict[str, Any], tensors: Tensors, shards: int = 0, suffix: str = "safetensors"
) -> Path:
    """A folder with the tensors in one file (shards 0) or in numbered shards with an index."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text(tokenizer_json())
    stem = "model" if suffix == "safetensors" else "pytorch_model"
    if shards == 0:
        write_file(folder / f"{stem}.{suffix}", tensors)
        return folder
    weight_map = {}
    names = list(tensors)
    for number in range(shards):
        mine = names[number::shards]
        file = f"{stem}-{number + 1:05d}-of-{shards:05d}.{suffix}"
        write_file(folder / file, {name: tensors[name] for name in mine})
        weight_map |= dict.fromkeys(mine, file)
    index = {"metadata": {"total_size": 0}, "weight_map": weight_map}
    (folder / f"{stem}.{suffix}.index.json").write_text(json.dumps(index))
    return folder


def write_file(path: Path, tensors: Tensors) -> None:
    """One file of tensors, as its suffix says."""
    if path.suffix == ".bin":
        torch.save({name: tensor.clone() for name, tensor in tensors.items()}, path)
    else:
        safetensors.torch.save_file({name: tensor.clone() for name, tensor in tensors.items()}, path)
