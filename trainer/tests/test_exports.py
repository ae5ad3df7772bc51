import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from checkpoints import save_checkpoint
from gangs import run_gang
from hf_folders import llama_tensors
from run_documents import pretrain_document

from polar import loop
from polar.config import RunConfig, parse
from polar.distributed import Dist
from polar.exports import export_best
from polar.loop import Loop
from polar.manifest import read_manifest
from polar.weights import open_weights


def config_of(root: Path, *formats: str) -> RunConfig:
    return parse(pretrain_document(root, root, export={"formats": list(formats)}))


def source_of(folder: Path) -> str:
    return str(json.loads((folder / "polar.json").read_text())["manifestSha256"])


def test_the_best_checkpoint_is_exported_in_every_format(tmp_path: Path) -> None:
    said: list[str] = []
    save_checkpoint(tmp_path, 5, 0.3)
    best = save_checkpoint(tmp_path, 10, 0.2)
    save_checkpoint(tmp_path, 15, 0.25)
    export_best(config_of(tmp_path, "huggingface", "onnx"), said.append)
    for name in ("huggingface", "onnx"):
        assert source_of(tmp_path / "export" / name) == read_manifest(best).sha256
    assert len(said) == 2


def test_another_attempt_exports_only_what_is_not_there(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 5, None)
    config = config_of(tmp_path, "huggingface")
    said: list[str] = []
    export_best(config, said.append)
    (tmp_path / "export" / ".tmp-onnx-0123").mkdir()
    export_best(config, said.append)
    assert len(said) == 1
    assert [path.name for path in (tmp_path / "export").iterdir()] == ["huggingface"]
    newer = save_checkpoint(tmp_path, 10, None)
    export_best(config, said.append)
    assert source_of(tmp_path / "export" / "huggingface") == read_manifest(newer).sha256


@pytest.mark.parametrize("text", ["", "[]", "{}"])
def test_an_export_that_is_not_whole_is_replaced(tmp_path: Path, text: str) -> None:
    saved = save_checkpoint(tmp_path)
    (tmp_path / "export" / "onnx").mkdir(parents=True)
    (tmp_path / "export" / "onnx" / "polar.json").write_text(text)
    export_best(config_of(tmp_path, "onnx"), print)
    assert source_of(tmp_path / "export" / "onnx") == read_manifest(saved).sha256


def test_weights_that_fp16_cannot_hold_are_exported_in_bf16(tmp_path: Path) -> None:
    model = llama_tensors()
    model["model.norm.weight"][0] = 70_000.0
    save_checkpoint(tmp_path, model=model)
    said: list[str] = []
    export_best(config_of(tmp_path, "huggingface"), said.append)
    assert "model.norm.weight: holds a value that float16 cannot" in said[0]
    exported = dict(open_weights(tmp_path / "export" / "huggingface").tensors())
    assert exported["model.norm.weight"].dtype == torch.bfloat16


def test_nothing_is_exported_when_nothing_is_asked_for(tmp_path: Path) -> None:
    save_checkpoint(tmp_path)
    export_best(config_of(tmp_path), print)
    export_best(config_of(tmp_path / "empty", "onnx"), print)
    assert [path.name for path in tmp_path.iterdir() if path.name == "export"] == []


def heard(dist: Dist, beats: int) -> int:
    """How often a rank agrees with the others while rank 0 exports."""
    agreed = 0

    def export(config: RunConfig, say: Callable[[str], None], beat: Callable[[], None]) -> None:
        for _ in range(beats):
            beat()

    def agree(rank: Dist, flag: bool) -> bool:
        nonlocal agreed
        agreed += 1
        return bool(rank.max([int(flag)])[0])

    loop.export_best, loop.EXPORT_BEAT_SECONDS = export, -1.0
    Dist.any = agree  # type: ignore[method-assign]
    Loop._export(SimpleNamespace(dist=dist, config=None, progress=SimpleNamespace(say=print)))  # type: ignore[arg-type]
    return agreed


def test_all_ranks_hear_that_an_export_goes_on() -> None:
    assert run_gang(heard, 2, 5) == [6, 6]
