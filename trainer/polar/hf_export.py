"""A Hugging Face folder in the layout of the released reward models (InternLM2ForRewardModel).

SGLang, vLLM and LMDeploy for POLAR open it. `auto_map` names two Python files of the released models that are not
written here; `code` copies them from a folder that has them.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from tokenizers import Tokenizer
from torch import Tensor

from polar.errors import ConfigError, PolarError
from polar.export_card import card, provenance
from polar.export_folder import new_folder
from polar.layouts import HEAD, Entry, entries, fuse, own_shapes, stored_shape
from polar.model import NORM_EPS
from polar.tokenizer import TextEncoder, tokenizer_from_checkpoint
from polar.weights import Weights, open_weights

DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}
CODE = ("configuration_internlm2.py", "modeling_internlm2.py")
END_NAMES = ("</s>", "<|im_end|>", "<|endoftext|>", "<|end_of_text|>")


@dataclass(frozen=True, kw_only=True, slots=True)
class HfOptions:
    """How to write. `code` is a folder with the Python files that auto_map names; `beat` is called for every tensor."""

    dtype: str = "float16"
    max_shard_bytes: int = 2 * 10**9
    code: Path | None = None
    beat: Callable[[], None] = lambda: None


class ValueTooLargeError(PolarError):
    """A weight that the data type of an export cannot hold."""


def export_hf(source: Path, target: Path, options: HfOptions | None = None, *, replace: bool = False) -> None:
    """Write a checkpoint (or a Hugging Face folder in another layout) to the new folder `target`.

    Holds one shard in memory at a time. CheckpointError for a bad source, ConfigError when `target` exists (unless it
    may be replaced), ValueTooLargeError when a weight does not fit the data type.
    """
    options = options or HfOptions()
    code = _code_files(options.code)
    weights = open_weights(source)
    encoder = tokenizer_from_checkpoint(weights.tokenizer_json, weights.where)
    with new_folder(target, replace=replace) as folder:
        _write_weights(folder, weights, options)
        _write_json(folder / "config.json", _config(weights, encoder, options))
        _write_tokenizer(folder, weights, encoder)
        facts = provenance(weights, encoder)
        _write_json(folder / "polar.json", facts)
        (folder / "README.md").write_text(card(facts, options.dtype, bool(code)), encoding="utf-8")
        for path in code:
            (folder / path.name).write_bytes(path.read_bytes())


def _code_files(folder: Path | None) -> list[Path]:
    files = [folder / name for name in CODE] if folder else []
    for path in files:
        if not path.is_file():
            raise ConfigError(f"{path}: expected a file of the official model's code, found none")
    return files


def _write_weights(folder: Path, weights: Weights, options: HfOptions) -> None:
    shapes = own_shapes(weights.architecture, weights.vocab_size)
    plan = list(entries("internlm2", list(shapes), HEAD))
    sizes = [torch.Size(stored_shape(entry, shapes)).numel() * DTYPES[options.dtype].itemsize for entry in plan]
    shards = _shards(sizes, options.max_shard_bytes)
    tensors = _stored(weights, plan, options)
    weight_map: dict[str, str] = {}
    for number, count in enumerate(shards, 1):
        name = f"model-{number:05d}-of-{len(shards):05d}.safetensors" if len(shards) > 1 else "model.safetensors"
        shard = dict(next(tensors) for _ in range(count))
        safetensors.torch.save_file(shard, folder / name, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(shard, name)
    if len(shards) > 1:
        index = {"metadata": {"total_size": sum(sizes)}, "weight_map": dict(sorted(weight_map.items()))}
        _write_json(folder / "model.safetensors.index.json", index)


def _shards(sizes: list[int], most: int) -> list[int]:
    """How many tensors go into each shard, in order."""
    counts, room = [0], most
    for size in sizes:
        if counts[-1] and size > room:
            counts.append(0)
            room = most
        counts[-1] += 1
        room -= size
    return counts


def _stored(weights: Weights, plan: list[Entry], options: HfOptions) -> Iterator[tuple[str, Tensor]]:
    """Tensors in the layout's names and order. Fused ones wait until their parts have come."""
    waiting: dict[str, Tensor] = {}
    complete = {entry.own[-1]: entry for entry in plan}
    for name, tensor in weights.tensors():
        waiting[name] = tensor
        if name in complete:
            entry = complete[name]
            parts = [waiting.pop(part) for part in entry.own]
            whole = fuse(parts, weights.architecture) if len(parts) > 1 else parts[0]
            options.beat()
            yield entry.stored, _cast(entry.stored, whole, DTYPES[options.dtype])


def _cast(name: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    cast = tensor.to(dtype).contiguous()
    if not torch.isfinite(cast).all():
        kind = str(dtype).removeprefix("torch.")
        raise ValueTooLargeError(f"{name}: holds a value that {kind} cannot; bfloat16 can hold it")
    return cast


def _config(weights: Weights, encoder: TextEncoder, options: HfOptions) -> dict[str, Any]:
    """config.json with the keys of the released models."""
    arch = weights.architecture
    return {
        "architectures": ["InternLM2ForRewardModel"],
        "attn_implementation": "sdpa",
        "auto_map": {
            "AutoConfig": "configuration_internlm2.InternLM2Config",
            "AutoModel": "modeling_internlm2.InternLM2ForRewardModel",
        },
        "bias": False,
        "bos_token_id": encoder.ids.bos,
        "eos_token_id": _end(Tokenizer.from_str(encoder.to_json()), encoder.ids.pad),
        "hidden_act": "silu",
        "hidden_size": arch.hidden_size,
        "initializer_range": 0.02,
        "intermediate_size": arch.intermediate_size,
        "max_position_embeddings": weights.positions,
        "model_type": "internlm2",
        "num_attention_heads": arch.num_heads,
        "num_hidden_layers": arch.num_layers,
        "num_key_value_heads": arch.num_key_value_heads,
        "pad_token_id": encoder.ids.pad,
        "pretraining_tp": 1,
        "reward_token_id": encoder.ids.reward,
        "rms_norm_eps": NORM_EPS,
        "rope_scaling": None,
        "rope_theta": arch.rope_theta,
        "tie_word_embeddings": False,
        "torch_dtype": options.dtype,
        "transformers_version": "4.49.0",
        "use_cache": True,
        "vocab_size": weights.vocab_size,
    }


def _write_tokenizer(folder: Path, weights: Weights, encoder: TextEncoder) -> None:
    text = encoder.to_json()
    tokenizer = Tokenizer.from_str(text)
    (folder / "tokenizer.json").write_text(text, encoding="utf-8")
    added = {str(token["id"]): token for token in json.loads(text)["added_tokens"]}
    names = {
        "bos_token": tokenizer.id_to_token(encoder.ids.bos),
        "eos_token": tokenizer.id_to_token(_end(tokenizer, encoder.ids.pad)),
        "pad_token": tokenizer.id_to_token(encoder.ids.pad),
        "additional_special_tokens": [
            token["content"]
            for token in added.values()
            if token["special"] and token["id"] in (encoder.ids.separator, encoder.ids.reward)
        ],
    }
    _write_json(folder / "special_tokens_map.json", names)
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "added_tokens_decoder": {
            number: {key: value for key, value in token.items() if key != "id"} for number, token in added.items()
        },
        "clean_up_tokenization_spaces": False,
        "model_max_length": weights.positions,
        "padding_side": "left",
    }
    _write_json(folder / "tokenizer_config.json", {**names, **settings})


def _end(tokenizer: Tokenizer, pad: int) -> int:
    """The token that ends a text; the padding token where a tokenizer has none. Scoring uses neither."""
    found = (tokenizer.token_to_id(name) for name in END_NAMES)
    return next((int(number) for number in found if number is not None), pad)


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
