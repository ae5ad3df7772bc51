import json
import os
from pathlib import Path
from typing import Any

import pytest

from polar.errors import CheckpointError
from polar.hf_config import read_hf_config
from polar.layouts import HEAD, entries, own_shapes, stored_shape

RELEASED_7B = {
    "architectures": ["InternLM2ForRewardModel"],
    "attn_implementation": "flash_attention_2",
    "auto_map": {
        "AutoConfig": "configuration_internlm2.InternLM2Config",
        "AutoModel": "modeling_internlm2.InternLM2ForRewardModel",
    },
    "bias": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": 4096,
    "initializer_range": 0.02,
    "intermediate_size": 14336,
    "max_position_embeddings": 262144,
    "model_type": "internlm2",
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "pad_token_id": 2,
    "pretraining_tp": 1,
    "reward_token_id": 92527,
    "rms_norm_eps": 1e-05,
    "rope_scaling": {"factor": 2.0, "type": "dynamic"},
    "rope_theta": 50000000,
    "tie_word_embeddings": False,
    "torch_dtype": "float16",
    "transformers_version": "4.49.0",
    "use_cache": True,
    "vocab_size": 92544,
}


def write(folder: Path, config: Any) -> Path:
    path = folder / "config.json"
    path.write_text(config if isinstance(config, str) else json.dumps(config))
    return path


def test_the_released_7b_model_is_described_with_its_tensors(tmp_path: Path) -> None:
    model = read_hf_config(write(tmp_path, RELEASED_7B))
    assert (model.layout, model.head, model.vocab_size, model.max_length) == ("internlm2", HEAD, 92544, 262144)
    shapes = own_shapes(model.architecture, model.vocab_size)
    stored = {entry.stored: stored_shape(entry, shapes) for entry in entries(model.layout, list(shapes), model.head)}
    assert stored["model.layers.31.attention.wqkv.weight"] == (6144, 4096)
    assert stored["model.layers.0.feed_forward.w2.weight"] == (4096, 14336)
    assert stored["model.tok_embeddings.weight"] == (92544, 4096)
    assert stored["v_head.weight"] == (1, 4096)
    assert len(stored) == 2 + 32 * 7 + 1
    fp16_bytes = 2 * sum(rows * (rest[0] if rest else 1) for rows, *rest in stored.values())
    assert 14.6e9 < fp16_bytes < 14.8e9  # the released shards hold 14.7 GB


def test_absent_keys_have_the_values_of_the_official_classes(tmp_path: Path) -> None:
    absent = {"num_key_value_heads", "rope_theta", "rope_scaling", "bias", "hidden_act", "max_position_embeddings"}
    config = {key: value for key, value in RELEASED_7B.items() if key not in absent}
    model = read_hf_config(write(tmp_path, config))
    assert (model.architecture.num_key_value_heads, model.architecture.rope_theta) == (32, 10_000)
    assert (model.max_length, model.positions) == (None, 2048)
    del config["rms_norm_eps"]
    with pytest.raises(CheckpointError, match="rms_norm_eps: expected 1e-05, got 1e-06"):
        read_hf_config(write(tmp_path, config))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[]", "expected a JSON object, got list"),
        ("[" * 100_000, "not JSON"),
        ("\x00\xff", "not JSON"),
        ("{}", "architectures: expected one of"),
        ('{"architectures": ["InternLM2ForCausalLM", "LlamaForCausalLM"]}', "architectures: expected one of"),
        ('{"architectures": "InternLM2ForCausalLM", "rms_norm_eps": 1e-5}', "num_attention_heads: expected a whole"),
    ],
)
def test_what_is_no_config_is_named(tmp_path: Path, text: str, wanted: str) -> None:
    with pytest.raises(CheckpointError, match=r"config\.json: " + wanted):
        read_hf_config(write(tmp_path, text))


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.json")
    with pytest.raises(CheckpointError, match=r"config\.json: expected a regular file"):
        read_hf_config(tmp_path / "config.json")
    with pytest.raises(CheckpointError, match=r"absent\.json: cannot be read: No such file"):
        read_hf_config(tmp_path / "absent.json")
