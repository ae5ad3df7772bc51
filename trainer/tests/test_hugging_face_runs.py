"""Whole runs that start from Hugging Face folders and leave exports."""

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
from checkpoints import save_checkpoint
from hf_folders import internlm2_config, internlm2_tensors, llama_tensors, write_folder
from programs import Gang, complete, start_server, tensor_hashes
from run_documents import finetune_document, preference_rows, write_json, write_jsonl

from polar.hf_export import HfOptions, export_hf
from polar.manifest import read_manifest
from polar.weights import open_weights


@pytest.fixture(scope="module", autouse=True)
def server() -> None:
    start_server()


@pytest.fixture(scope="module")
def triplets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_jsonl(tmp_path_factory.mktemp("data") / "triplets.jsonl", preference_rows())


def config_in(directory: Path, data: Path, init: Path, **changes: Any) -> Path:
    directory.mkdir()
    document = finetune_document(directory / "out", data, init, **{"budget__steps": 3, **changes})
    return write_json(directory / "run.json", document)


def test_a_run_from_an_export_trains_the_bits_of_a_run_from_the_checkpoint(tmp_path: Path, triplets: Path) -> None:
    saved = save_checkpoint(tmp_path / "init")
    export_hf(saved, tmp_path / "folder", HfOptions(dtype="float32", max_shard_bytes=50_000))
    own = complete(config_in(tmp_path / "own", triplets, saved))
    other = complete(config_in(tmp_path / "other", triplets, tmp_path / "folder"))
    hashes = tensor_hashes(own, 3)
    assert hashes
    assert tensor_hashes(other, 3) == hashes


def test_a_language_model_becomes_a_reward_model_that_is_exported(tmp_path: Path, triplets: Path) -> None:
    tensors = internlm2_tensors(llama_tensors())
    tensors["output.weight"] = tensors.pop("v_head.weight").expand(320, -1)
    config = internlm2_config(architectures=["InternLM2ForCausalLM"])
    folder = write_folder(tmp_path / "folder", config, tensors, 2, "bin")
    changes = {"gang__workers": 2, "export": {"formats": ["huggingface", "onnx"]}}
    out = complete(config_in(tmp_path / "run", triplets, folder, **changes), ranks=2)
    best = json.loads((out / "export" / "onnx" / "polar.json").read_text())["manifestSha256"]
    assert best == json.loads((out / "export" / "huggingface" / "polar.json").read_text())["manifestSha256"]
    (checkpoint,) = [path for path in out.glob("step-*") if read_manifest(path).sha256 == best]
    exported = safetensors.torch.load_file(out / "export" / "huggingface" / "model.safetensors")
    wanted = dict(open_weights(checkpoint).tensors())["v_head.weight"]
    assert wanted.abs().max() > 0
    assert exported["v_head.weight"].equal(wanted.half())


def test_weights_whose_positions_end_before_max_length_are_refused(tmp_path: Path, triplets: Path) -> None:
    config = internlm2_config(max_position_embeddings=63)
    folder = write_folder(tmp_path / "folder", config, internlm2_tensors(llama_tensors()))
    run = config_in(tmp_path / "run", triplets, folder)
    gang = Gang(run)
    assert gang.wait() == [12]
    assert "rope_scaling is dynamic: expected data.maxLength of at most 63" in gang.log().read_text()
