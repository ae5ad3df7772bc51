import errno
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors
import torch
from checkpoints import save_checkpoint
from hf_folders import VOCAB, internlm2_config, internlm2_tensors, llama_tensors, write_folder
from tokenizers import Tokenizer

from polar import export, export_folder, hf_export
from polar.encode import Limits, Text
from polar.errors import CheckpointError, ConfigError, PolarError, StorageFullError
from polar.hf_export import HfOptions, export_hf
from polar.manifest import read_manifest
from polar.tokenizer import tokenizer_from_checkpoint
from polar.weights import open_weights

FP32 = HfOptions(dtype="float32")
OWN = llama_tensors(seed=5)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp("export"))


def stored(folder: Path) -> dict[str, torch.Tensor]:
    found = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safetensors.safe_open(path, "pt") as file:
            found |= {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - the handle is no dict
    return found


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(
        left[name].dtype == right[name].dtype and torch.equal(left[name], right[name]) for name in left
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_weights_come_back_bit_for_bit(saved: Path, tmp_path: Path) -> None:
    export_hf(saved, tmp_path / "out", FP32)
    back = open_weights(tmp_path / "out")
    assert same(dict(back.tensors()), OWN)
    own = open_weights(saved)
    assert (back.architecture, back.vocab_size, back.tokenizer_json, back.positions) == (
        own.architecture, own.vocab_size, own.tokenizer_json, own.positions,
    )  # fmt: skip


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_exporting_an_export_again_changes_no_bit(saved: Path, tmp_path: Path, dtype: str) -> None:
    options = HfOptions(dtype=dtype)
    export_hf(saved, tmp_path / "once", options)
    export_hf(tmp_path / "once", tmp_path / "twice", options)
    once, twice = contents(tmp_path / "once"), contents(tmp_path / "twice")
    for name in once.keys() - {"README.md", "polar.json"}:  # these say where the weights come from
        assert once[name] == twice[name], name


def test_the_layout_is_that_of_the_released_models(saved: Path, tmp_path: Path) -> None:
    export_hf(saved, tmp_path / "out")
    half = {name: tensor.half() for name, tensor in internlm2_tensors(OWN).items()}
    assert same(stored(tmp_path / "out"), half)
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["architectures"] == ["InternLM2ForRewardModel"]
    assert config["auto_map"]["AutoModel"] == "modeling_internlm2.InternLM2ForRewardModel"
    tokenizer = Tokenizer.from_file(str(tmp_path / "out" / "tokenizer.json"))
    for key, name in (("bos", "<s>"), ("pad", "<pad>"), ("reward", "[UNUSED_TOKEN_130]")):
        assert config[f"{key}_token_id"] == tokenizer.token_to_id(name)
    assert config["torch_dtype"] == "float16"
    assert config["max_position_embeddings"] == 60
    released = internlm2_config()
    assert released.keys() <= config.keys()


def test_shards_are_no_larger_than_asked_and_indexed(saved: Path, tmp_path: Path) -> None:
    most = 20_000
    export_hf(saved, tmp_path / "out", HfOptions(dtype="float32", max_shard_bytes=most))
    shards = sorted((tmp_path / "out").glob("model-*.safetensors"))
    index = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())
    largest = VOCAB * 32 * 4
    assert [path.name for path in shards] == [
        f"model-{number + 1:05d}-of-{len(shards):05d}.safetensors" for number in range(len(shards))
    ]
    assert len(shards) > 3
    assert all(path.stat().st_size < max(most, largest) + 4096 for path in shards)
    assert set(index["weight_map"].values()) == {path.name for path in shards}
    assert index["metadata"]["total_size"] == sum(tensor.nbytes for tensor in stored(tmp_path / "out").values())
    assert same(dict(open_weights(tmp_path / "out").tensors()), OWN)


def test_text_tokenised_with_the_folder_is_what_the_model_was_trained_on(saved: Path, tmp_path: Path) -> None:
    export_hf(saved, tmp_path / "out")
    encoder = tokenizer_from_checkpoint(open_weights(saved).tokenizer_json, "")
    reference, candidate = Text("river lamp", "stone"), Text("river lamp", "river river")
    (wanted,) = encoder.encode_group(reference, [candidate], Limits(max_length=60, max_response_length=20))
    text = "river lamp\nstone<|reward|>river lamp\nriver river[UNUSED_TOKEN_130]"
    assert Tokenizer.from_file(str(tmp_path / "out" / "tokenizer.json")).encode(text).ids == wanted.tolist()


def test_an_export_with_the_tokenizer_of_the_released_models_has_their_token_ids(tmp_path: Path) -> None:
    tensors = internlm2_tensors(OWN)
    tensors["model.tok_embeddings.weight"] = torch.zeros(520, 32)
    folder = write_folder(tmp_path / "hf", internlm2_config(vocab_size=520), tensors)
    (folder / "tokenizer.json").unlink()
    for name in ("tokenizer.model", "tokenizer_config.json"):
        shutil.copy(Path(__file__).parents[2] / "testdata" / "encoding" / "internlm2" / name, folder)
    export_hf(folder, tmp_path / "out")
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert [config[f"{name}_token_id"] for name in ("bos", "eos", "pad", "reward")] == [1, 2, 2, 4]
    settings = json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())
    assert [settings[f"{name}_token"] for name in ("bos", "eos", "pad")] == ["<s>", "</s>", "</s>"]
    assert settings["additional_special_tokens"] == ["<|reward|>"]  # the reward token is an ordinary piece there
    encoder = tokenizer_from_checkpoint(open_weights(folder).tokenizer_json, "")
    (wanted,) = encoder.encode_group(
        Text("a b", "c"), [Text("a b", "d e")], Limits(max_length=60, max_response_length=20)
    )
    exported = Tokenizer.from_file(str(tmp_path / "out" / "tokenizer.json"))
    assert exported.encode("a b\nc<|reward|>a b\nd e[UNUSED_TOKEN_130]").ids == wanted.tolist()


def test_the_card_says_how_the_model_was_trained_and_names_no_path(saved: Path, tmp_path: Path) -> None:
    export_hf(saved, tmp_path / "out")
    facts = json.loads((tmp_path / "out" / "polar.json").read_text())
    assert facts["manifestSha256"] == read_manifest(saved).sha256
    assert facts["training"]["step"] == 5
    assert facts["encoding"]["maxResponseLength"] == 20
    text = (tmp_path / "out" / "README.md").read_text()
    for part in (facts["manifestSha256"], "PolarFinetune team/tiny", "step-00000005", "modeling_internlm2.py", "0.25"):
        assert part in text
    for name in ("README.md", "polar.json", "config.json"):
        assert not re.search(r"/secret|" + re.escape(str(tmp_path)), (tmp_path / "out" / name).read_text())


def test_code_of_the_released_models_is_copied_from_a_given_folder(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    with pytest.raises(ConfigError, match=r"configuration_internlm2\.py: expected a file of the official model's code"):
        export_hf(saved, tmp_path / "out", HfOptions(code=tmp_path / "code"))
    for name in hf_export.CODE:
        (tmp_path / "code" / name).write_text(f"# {name}")
    export_hf(saved, tmp_path / "out", HfOptions(code=tmp_path / "code"))
    assert (tmp_path / "out" / "modeling_internlm2.py").read_text() == "# modeling_internlm2.py"
    assert "are in this folder" in (tmp_path / "out" / "README.md").read_text()


def test_nothing_is_overwritten_and_nothing_is_left_behind(saved: Path, tmp_path: Path) -> None:
    for taken in (tmp_path / "folder", tmp_path / "file", tmp_path / "link"):
        if taken.name == "folder":
            taken.mkdir()
        elif taken.name == "file":
            taken.write_text("mine")
        else:
            taken.symlink_to(tmp_path / "nowhere")
        with pytest.raises(ConfigError, match="exists already and is not overwritten"):
            export_hf(saved, taken)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder", "link"]


def test_a_weight_that_does_not_fit_the_type_is_named_and_leaves_no_folder(tmp_path: Path) -> None:
    model = llama_tensors()
    model["model.layers.1.self_attn.k_proj.weight"][0, 0] = 70_000.0
    saved = save_checkpoint(tmp_path / "run", model=model)
    with pytest.raises(PolarError, match=r"layers\.1\.attention\.wqkv\.weight: holds a value that float16 cannot"):
        export_hf(saved, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    export_hf(saved, tmp_path / "out", HfOptions(dtype="bfloat16"))


def test_a_full_disk_is_named_and_leaves_no_folder(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(export_folder, "fsync_path", full)
    with pytest.raises(StorageFullError, match=r"writing .*out: No space left on device"):
        export_hf(saved, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from polar import export_folder, hf_export

def die_after(left):
    def counted(path):
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
    return counted

for steps in map(int, sys.argv[3:]):
    child = os.fork()  # no threads yet
    if child == 0:
        export_folder.fsync_path = die_after(steps)
        hf_export.export_hf(Path(sys.argv[1]), Path(sys.argv[2]) / str(steps))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL, steps
"""


def test_an_export_that_is_killed_is_absent_or_whole(saved: Path, tmp_path: Path) -> None:
    """Killed before the first file is synced, between two of them, before the rename and after it."""
    command = [sys.executable, "-c", KILLED, str(saved), str(tmp_path), "1", "4", "8", "9"]
    settings = {"PYTHONPATH": str(Path(export.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, env=settings)
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith(".tmp-")) == ["9"]
    assert open_weights(tmp_path / "9").vocab_size == VOCAB
    export_hf(saved, tmp_path / "1")


def test_a_damaged_checkpoint_is_not_exported(tmp_path: Path) -> None:
    saved = save_checkpoint(tmp_path / "run")
    weights = saved / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-5] ^= 1
    weights.write_bytes(data)
    with pytest.raises(CheckpointError, match="expected SHA-256"):
        export_hf(saved, tmp_path / "out")


def test_the_program_writes_both_formats_and_says_what_is_wrong(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: str) -> tuple[int, str]:
        return export.main(["--checkpoint", str(saved), *arguments]), "".join(capsys.readouterr())

    assert run("--out", str(tmp_path / "hf"), "--format", "huggingface", "--max-shard-size", "1MiB")[0] == 0
    assert run("--out", str(tmp_path / "onnx"), "--format", "onnx")[0] == 0
    assert {"model.onnx", "polar.json", "tokenizer.json"} <= contents(tmp_path / "onnx").keys()
    code, text = run("--out", str(tmp_path / "hf"), "--format", "huggingface")
    assert (code, "exists already" in text) == (10, True)
    code, text = run("--out", str(tmp_path / "x"), "--format", "huggingface", "--max-shard-size", "lots")
    assert (code, "expected a size such as" in text) == (10, True)
