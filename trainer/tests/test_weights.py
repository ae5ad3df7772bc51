import json
import pickle
import random
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import safetensors
import torch
from checkpoints import save_checkpoint
from hf_folders import (
    VOCAB,
    Tensors,
    internlm2_config,
    internlm2_tensors,
    llama_config,
    llama_tensors,
    write_file,
    write_folder,
)

from polar.errors import CheckpointError
from polar.manifest import read_manifest
from polar.weights import Weights, open_weights

OWN = llama_tensors()


def loaded(weights: Weights) -> Tensors:
    return {name: tensor.clone() for name, tensor in weights.tensors()}


def same(left: Tensors, right: Tensors) -> bool:
    return left.keys() == right.keys() and all(
        torch.equal(left[name], right[name]) and left[name].dtype == right[name].dtype for name in left
    )


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
@pytest.mark.parametrize("shards", [0, 1, 4])
def test_internlm2_reward_models_are_read_sharded_or_not(tmp_path: Path, shards: int, suffix: str) -> None:
    weights = open_weights(write_folder(tmp_path, internlm2_config(), internlm2_tensors(OWN), shards, suffix))
    assert same(loaded(weights), OWN)
    arch = weights.architecture
    assert (arch.hidden_size, arch.num_layers, arch.num_heads, arch.num_key_value_heads) == (32, 3, 4, 2)
    assert (arch.intermediate_size, arch.rope_theta, weights.vocab_size) == (48, 50_000_000, VOCAB)
    assert weights.manifest_sha256 is None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_tensors_keep_the_type_they_are_stored_in(tmp_path: Path, dtype: torch.dtype) -> None:
    own = llama_tensors(dtype)
    assert same(loaded(open_weights(write_folder(tmp_path, internlm2_config(), internlm2_tensors(own)))), own)


def test_a_folder_of_links_as_the_hub_caches_it_is_read(tmp_path: Path) -> None:
    real = write_folder(tmp_path / "blobs", internlm2_config(), internlm2_tensors(OWN), 2)
    (tmp_path / "snapshot").mkdir()
    for path in real.iterdir():
        (tmp_path / "snapshot" / path.name).symlink_to(Path("..") / "blobs" / path.name)
    assert same(loaded(open_weights(tmp_path / "snapshot")), OWN)


def test_a_language_model_starts_with_a_zero_reward_head(tmp_path: Path) -> None:
    tensors = internlm2_tensors(OWN)
    tensors["output.weight"] = tensors.pop("v_head.weight").expand(VOCAB, -1)
    config = internlm2_config(architectures=["InternLM2ForCausalLM"])
    got = loaded(open_weights(write_folder(tmp_path, config, tensors)))
    assert same(got, {**OWN, "v_head.weight": torch.zeros(1, 32)})


def test_llama_language_models_are_read(tmp_path: Path) -> None:
    tensors = {name: tensor for name, tensor in OWN.items() if name != "v_head.weight"}
    tensors |= {
        "lm_head.weight": OWN["model.embed_tokens.weight"],
        "model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4),
    }
    weights = open_weights(write_folder(tmp_path, llama_config(), tensors))
    assert same(loaded(weights), {**OWN, "v_head.weight": torch.zeros(1, 32)})
    assert weights.architecture.rope_theta == 10_000


def test_llama_reward_models_are_read(tmp_path: Path) -> None:
    tensors = dict(OWN)
    tensors["score.weight"] = tensors.pop("v_head.weight")
    config = llama_config(architectures=["LlamaForSequenceClassification"], id2label={"0": "LABEL_0"})
    assert same(loaded(open_weights(write_folder(tmp_path, config, tensors))), OWN)


def test_the_newer_form_of_the_rotary_keys_is_read(tmp_path: Path) -> None:
    config = llama_config(rope_parameters={"rope_theta": 500000.0, "rope_type": "default"}, dtype="float32")
    del config["rope_theta"], config["rope_scaling"], config["torch_dtype"]
    tensors = {name: tensor for name, tensor in OWN.items() if name != "v_head.weight"}
    assert open_weights(write_folder(tmp_path, config, tensors)).architecture.rope_theta == 500_000


def test_dynamic_rope_scaling_is_refused_where_it_would_change_scores(tmp_path: Path) -> None:
    weights = open_weights(write_folder(tmp_path, internlm2_config(), internlm2_tensors(OWN)))
    weights.check_length(1000)
    with pytest.raises(CheckpointError, match=r"maxLength of at most 1000 \(max_position_embeddings\), got 1001"):
        weights.check_length(1001)


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"architectures": ["Qwen2ForCausalLM"]}, r'architectures: expected one of .*, got \["Qwen2ForCausalLM"\]'),
        ({"architectures": None}, "architectures: expected one of .*, got null"),
        ({"architectures": ["LlamaForSequenceClassification"]}, "id2label: expected one label"),
        ({"hidden_size": "32"}, r'hidden_size: expected a whole number of at least 1, got "32"'),
        ({"hidden_size": True}, "hidden_size: expected a whole number of at least 1, got true"),
        ({"num_hidden_layers": 3.0}, "num_hidden_layers: expected a whole number of at least 1, got 3.0"),
        ({"num_hidden_layers": 10**12}, "num_hidden_layers: expected at most 1000, got 1000000000000"),
        ({"vocab_size": -1}, "vocab_size: expected a whole number of at least 1, got -1"),
        ({"num_attention_heads": 5}, "hiddenSize: expected a multiple of"),
        ({"head_dim": 16}, "head_dim: expected 8, got 16"),
        ({"rms_norm_eps": 1e-6}, "rms_norm_eps: expected 1e-05, got 1e-06"),
        ({"rms_norm_eps": None}, "rms_norm_eps: expected 1e-05, got null"),
        ({"bias": True}, "bias: expected false or nothing, got true"),
        ({"attention_bias": True}, "attention_bias: expected false or nothing, got true"),
        ({"quantization_config": {"bits": 4}}, "quantization_config: expected false or nothing"),
        ({"hidden_act": "gelu"}, r'hidden_act: expected silu, got "gelu"'),
        ({"rope_theta": 10000.5}, "rope_theta: expected a whole number of at least 1, got 10000.5"),
        ({"rope_theta": float("inf")}, "rope_theta: expected a whole number of at least 1, got Infinity"),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, r'rope_scaling.type: expected dynamic or none'),
        ({"rope_scaling": {"rope_type": "llama3"}}, r'rope_scaling.type: expected dynamic or none, got "llama3"'),
        ({"rope_scaling": {"rope_type": "yarn"}}, r'rope_scaling.type: expected dynamic or none, got "yarn"'),
        ({"rope_scaling": 2}, "rope_scaling: expected an object, got 2"),
        ({"rope_parameters": []}, "rope_parameters: expected an object"),
        ({"max_position_embeddings": "x"}, "max_position_embeddings: expected a whole number"),
    ],
)  # fmt: skip
def test_a_model_that_cannot_be_trained_here_is_refused(tmp_path: Path, changes: dict[str, Any], wanted: str) -> None:
    write_folder(tmp_path, internlm2_config(**changes), internlm2_tensors(OWN))
    with pytest.raises(CheckpointError, match=r"config\.json: " + wanted):
        open_weights(tmp_path)


@pytest.mark.parametrize(
    ("name", "tensor", "wanted"),
    [
        ("model.norm.weight", torch.ones(31), r"model\.norm\.weight: expected shape \[32\], got \[31\]"),
        ("model.norm.weight", torch.ones(32).double(), r"norm\.weight: expected float32, float16 or bfloat16, got"),
        ("model.norm.weight", torch.ones(32).int(), r"norm\.weight: expected float32, float16 or bfloat16, got"),
        ("model.layers.1.attention.wqkv.weight", torch.ones(32, 32), r"wqkv\.weight: expected shape \[64, 32\], got \[32, 32\]"),  # noqa: E501
        ("model.norm.weight", None, r"model\.norm\.weight: expected this tensor, got none \(1 are missing\)"),
        ("v_head.weight", None, r"v_head\.weight: expected this tensor, got none"),
        ("model.layers.0.attention.wo.bias", torch.ones(32), r"wo\.bias: expected no such tensor"),
        ("model.layers.3.attention_norm.weight", torch.ones(32), r"layers\.3\..*: expected no such tensor"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_a_wrong_tensor_is_named(tmp_path: Path, suffix: str, name: str, tensor: Any, wanted: str) -> None:
    tensors = internlm2_tensors(OWN)
    tensors.pop(name, None)
    write_folder(tmp_path, internlm2_config(), tensors if tensor is None else {**tensors, name: tensor}, suffix=suffix)
    with pytest.raises(CheckpointError, match=wanted):
        open_weights(tmp_path)


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_a_truncated_shard_is_named(tmp_path: Path, suffix: str) -> None:
    write_folder(tmp_path, internlm2_config(), internlm2_tensors(OWN), 3, suffix)
    shard = sorted(tmp_path.glob(f"*-00002-of-00003.{suffix}"))[0]
    whole = shard.read_bytes()
    for kept in (0, 7, 100, len(whole) // 2, len(whole) - 1):
        shard.write_bytes(whole[:kept])
        with pytest.raises(CheckpointError, match=re.escape(shard.name)):
            open_weights(tmp_path)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_a_flipped_bit_is_refused_or_changes_a_value_but_never_anything_else(tmp_path: Path, suffix: str) -> None:
    write_folder(tmp_path, internlm2_config(), internlm2_tensors(OWN), suffix=suffix)
    (file,) = tmp_path.glob(f"*model.{suffix}")
    whole = file.read_bytes()
    draw = random.Random(0)
    refused = 0
    for _ in range(50):
        flipped = bytearray(whole)
        flipped[draw.choice([draw.randrange(2000), -1 - draw.randrange(2000)])] ^= 1 << draw.randrange(8)
        file.write_bytes(flipped)
        try:
            shapes = {name: tensor.shape for name, tensor in open_weights(tmp_path).tensors()}
            assert shapes == {name: tensor.shape for name, tensor in OWN.items()}
        except CheckpointError:
            refused += 1
    assert refused > 10


@pytest.mark.parametrize(
    "shard",
    ["../outside.safetensors", "/model.safetensors", "a/b.safetensors", "a.bin", "..", "", 3, None, "\n.safetensors"],
)
def test_an_index_may_only_name_files_beside_it(tmp_path: Path, shard: Any) -> None:
    write_file(tmp_path / "outside.safetensors", internlm2_tensors(OWN))
    folder = write_folder(tmp_path / "model", internlm2_config(), internlm2_tensors(OWN), 1)
    change_index(folder, {"model.norm.weight": shard})
    with pytest.raises(CheckpointError, match=r"model\.norm\.weight: expected a \.safetensors file in this folder"):
        open_weights(folder)


def change_index(folder: Path, changes: dict[str, Any]) -> None:
    index = folder / "model.safetensors.index.json"
    document = json.loads(index.read_text())
    document["weight_map"] |= changes
    index.write_text(json.dumps(document))


def test_an_index_that_does_not_match_its_shards_is_named(tmp_path: Path) -> None:
    write_folder(tmp_path, internlm2_config(), internlm2_tensors(OWN), 2)
    first, second = sorted(path.name for path in tmp_path.glob("*.safetensors"))
    change_index(tmp_path, {"model.absent.weight": second})
    with pytest.raises(CheckpointError, match=rf"{second}: model\.absent\.weight: missing"):
        open_weights(tmp_path)
    write_folder(tmp_path, internlm2_config(), internlm2_tensors(OWN), 2)
    other = first if "model.norm.weight" in names_in(tmp_path / second) else second
    change_index(tmp_path, {"model.norm.weight": other})
    with pytest.raises(CheckpointError, match=r"model\.norm\.weight: the index expects it in"):
        open_weights(tmp_path)
    (tmp_path / second).unlink()
    with pytest.raises(CheckpointError, match=rf"names the file {second}, which is missing"):
        open_weights(tmp_path)


def names_in(path: Path) -> list[str]:
    with safetensors.safe_open(path, "pt") as file:
        return list(file.keys())


@pytest.mark.parametrize("text", ["", "[]", "{", "{}", '{"weight_map": []}', '{"weight_map": {}}', "[" * 100_000])
def test_an_index_that_is_no_index_is_named(tmp_path: Path, text: str) -> None:
    write_folder(tmp_path, internlm2_config(), internlm2_tensors(OWN), 2)
    (tmp_path / "model.safetensors.index.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"model\.safetensors\.index\.json: "):
        open_weights(tmp_path)


def test_parameters_in_a_bin_file_come_without_gradients(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, internlm2_config(), internlm2_tensors(OWN), suffix="bin")
    saved = {name: torch.nn.Parameter(tensor) for name, tensor in internlm2_tensors(OWN).items()}
    torch.save(saved, folder / "pytorch_model.bin")
    assert not any(tensor.requires_grad for _, tensor in open_weights(folder).tensors())
    assert same(loaded(open_weights(folder)), OWN)


class Shout:
    """A pickle that writes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.write_text, (self.path, "ran"))


def test_code_in_a_bin_file_is_refused_and_never_run(tmp_path: Path) -> None:
    write_folder(tmp_path, internlm2_config(), internlm2_tensors(OWN), suffix="bin")
    ran = tmp_path / "ran"
    for save in (torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))):
        save({"model.norm.weight": Shout(ran)}, tmp_path / "pytorch_model.bin")
        with pytest.raises(CheckpointError, match=r"pytorch_model\.bin: damaged, of PyTorch's old format, or not only"):
            open_weights(tmp_path)
    assert not ran.exists()


@pytest.mark.parametrize(
    "value", [[torch.ones(2)], {"a": 3}, {3: torch.ones(2)}, torch.ones(3), {"a": torch.ones(2, 2).to_sparse()}]
)
@pytest.mark.filterwarnings("ignore:Validating sparse")
def test_a_bin_file_that_holds_no_named_tensors_is_refused(tmp_path: Path, value: Any) -> None:
    write_folder(tmp_path, internlm2_config(), internlm2_tensors(OWN), suffix="bin")
    torch.save(value, tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin: expected dense tensors by name"):
        open_weights(tmp_path)


def test_pickles_are_opened_in_one_place_only() -> None:
    opens = re.compile(r"torch\.load\(|import (pickle|dill|joblib)|allow_pickle=True|weights_only=False")
    sources = sorted(Path(__file__).parents[1].joinpath("polar").rglob("*.py"))
    lines = [(path.name, line.strip()) for path in sources for line in path.read_text().splitlines()]
    found = [(name, line) for name, line in lines if opens.search(line)]
    assert found == [("tensor_files.py", 'found = torch.load(path, map_location="cpu", weights_only=True, mmap=True)')]


def test_own_checkpoints_are_read_with_what_they_say_of_their_run(tmp_path: Path) -> None:
    saved = save_checkpoint(tmp_path, model=dict(OWN))
    weights = open_weights(saved)
    assert same(loaded(weights), OWN)
    assert weights.manifest_sha256 == read_manifest(saved).sha256
    assert weights.origin is not None
    assert (weights.origin.step, weights.origin.val_loss, weights.positions, weights.max_length) == (5, 0.25, 60, None)
    weights.check_length(1 << 20)
    with pytest.raises(CheckpointError, match="expected SHA-256 abc"):
        open_weights(saved, "abc")


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"model.norm.weight": torch.ones(31)}, r"model\.norm\.weight: expected shape \[32\], got \[31\]"),
        ({"model.norm.weight": None}, r"model\.norm\.weight: expected this tensor, got none"),
        ({"other": torch.ones(1)}, r"other: expected no such tensor"),
    ],
)
def test_a_wrong_tensor_in_an_own_checkpoint_is_named(tmp_path: Path, changes: Any, wanted: str) -> None:
    model = {name: tensor for name, tensor in {**OWN, **changes}.items() if tensor is not None}
    with pytest.raises(CheckpointError, match=wanted):
        open_weights(save_checkpoint(tmp_path, model=model))


def test_a_folder_that_is_neither_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"expected a checkpoint \(manifest\.json\) or a Hugging Face folder"):
        open_weights(tmp_path / "absent")
    write_folder(tmp_path, internlm2_config(), internlm2_tensors(OWN))
    with pytest.raises(CheckpointError, match=r"manifest\.json: expected SHA-256 abc, found no such file"):
        open_weights(tmp_path, "abc")
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match=r"tokenizer\.json: missing, and so is tokenizer\.model"):
        open_weights(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"expected one of model\.safetensors\.index\.json"):
        open_weights(tmp_path)


def test_a_folder_with_only_a_sentencepiece_tokenizer_is_read(tmp_path: Path) -> None:
    write_folder(tmp_path, internlm2_config(), internlm2_tensors(OWN))
    (tmp_path / "tokenizer.json").unlink()
    for name in ("tokenizer.model", "tokenizer_config.json"):
        shutil.copy(Path(__file__).parents[2] / "testdata/encoding/internlm2" / name, tmp_path)
    assert "[UNUSED_TOKEN_130]" in open_weights(tmp_path).tokenizer_json
    (tmp_path / "tokenizer.model").write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match=r"tokenizer\.model: not a sentencepiece model"):
        open_weights(tmp_path)
