import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from checkpoints import save_checkpoint
from hf_folders import (
    HEADS,
    HIDDEN,
    KV_HEADS,
    LAYERS,
    VOCAB,
    internlm2_config,
    internlm2_tensors,
    llama_tensors,
    write_folder,
)

from polar.manifest import read_manifest
from polar.model import RewardModel
from polar.onnx_export import export_onnx
from polar.packing import pack
from polar.weights import open_weights

BLOCK = 128
EMPTY = np.zeros((2 * LAYERS, KV_HEADS, 0, HIDDEN // HEADS), np.float32)
GOLDEN = Path(__file__).parents[2] / "testdata" / "onnx"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp("onnx"))


@pytest.fixture(scope="module")
def exported(saved: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("exported") / "onnx"
    export_onnx(saved, target)
    return target


@pytest.fixture(scope="module")
def session(exported: Path) -> Any:
    return onnxruntime.InferenceSession(str(exported / "model.onnx"), providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def model(saved: Path) -> RewardModel:
    return model_of(saved)


def model_of(folder: Path) -> RewardModel:
    weights = open_weights(folder)
    model = RewardModel(weights.architecture, weights.vocab_size)
    model.load_state_dict(dict(weights.tensors()))
    return model


def drawn(prefix: int, groups: int, width: int, seed: int = 0) -> dict[str, Any]:
    draw = np.random.default_rng(seed)
    lengths = draw.integers(1, width + 1, groups)
    lengths[-1] = width
    candidates = [draw.integers(0, VOCAB, length) for length in lengths]
    return {"prefix": draw.integers(0, VOCAB, prefix), "candidates": candidates}


def fed(segments: list[Any], past: Any = EMPTY, keep: int = 0, block: int = BLOCK) -> dict[str, Any]:
    """Inputs for segments (tokens, first position, shared keys, whether the last token is asked for)."""
    blocks, rewards, start = [], [], 0
    for tokens, _, shared, asked in segments:
        end, own = start + len(tokens), past.shape[2] + start
        blocks += [[row, min(row + block, end), 0, shared, own] for row in range(start, end, block)]
        rewards += [[end - 1, end, 0, shared, own]] if asked else []
        start = end
    return {
        "ids": np.concatenate([tokens for tokens, *_ in segments]),
        "positions": np.concatenate([first + np.arange(len(tokens)) for tokens, first, *_ in segments]),
        "blocks": np.array(blocks),
        "rewards": np.array(rewards),
        "past": past,
        "keep": np.arange(keep),
    }


def shared(given: dict[str, Any], **options: Any) -> dict[str, Any]:
    """Inputs for one prefix and its candidates."""
    prefix = len(given["prefix"])
    behind = [(candidate, prefix, prefix, True) for candidate in given["candidates"]]
    return fed([(given["prefix"], 0, 0, False), *behind], **options)


@torch.no_grad()
def wanted(model: RewardModel, given: dict[str, Any]) -> Any:
    """The scores of the whole sequences, one after the other, nothing shared."""
    sequences = [np.concatenate([given["prefix"], row]).astype(np.int32) for row in given["candidates"]]
    return np.array([float(model(pack([[sequence]], np.array([0])))) for sequence in sequences])


@pytest.mark.parametrize(
    ("prefix", "groups", "width"),
    [(1, 1, 1), (7, 1, 4), (5, 4, 9), (BLOCK, 2, 3), (BLOCK + 1, 2, BLOCK), (30, 3, BLOCK + 5), (2 * BLOCK + 9, 1, 1)],
)
def test_scores_are_those_of_the_model(session: Any, model: RewardModel, prefix: int, groups: int, width: int) -> None:
    given = drawn(prefix, groups, width)
    got, kept = session.run(None, shared(given))
    assert kept.shape == EMPTY.shape
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, wanted(model, given), atol=1e-4)


def test_a_candidate_scores_the_same_whatever_is_scored_beside_it(session: Any) -> None:
    given = drawn(20, 5, 12)
    (together,) = session.run(["scores"], shared(given))
    for row, candidate in enumerate(given["candidates"]):
        whole = fed([(np.concatenate([given["prefix"], candidate]), 0, 0, True)])
        np.testing.assert_allclose(session.run(["scores"], whole)[0], together[row : row + 1], atol=1e-5)


@pytest.mark.parametrize("block", [1, 3, 64, 1000])
def test_the_size_of_blocks_does_not_change_a_score(session: Any, block: int) -> None:
    given = drawn(70, 3, 65)
    (together,) = session.run(["scores"], shared(given))
    np.testing.assert_allclose(session.run(["scores"], shared(given, block=block))[0], together, atol=1e-5)


def test_a_prefix_is_kept_for_later_runs(session: Any) -> None:
    given = drawn(40, 6, 12)
    (together,) = session.run(["scores"], shared(given))
    first, past = session.run(None, shared({**given, "candidates": given["candidates"][:2]}, keep=40))
    assert past.shape == (2 * LAYERS, KV_HEADS, 40, HIDDEN // HEADS)
    later = fed([(candidate, 40, 40, True) for candidate in given["candidates"][2:]], past)
    np.testing.assert_allclose(np.concatenate([first, session.run(["scores"], later)[0]]), together, atol=1e-5)


def test_half_precision_weights_are_exported_too(tmp_path: Path) -> None:
    tensors = internlm2_tensors(llama_tensors(torch.bfloat16))
    folder = write_folder(tmp_path / "hf", internlm2_config(), tensors, 2, "bin")
    export_onnx(folder, tmp_path / "onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "onnx" / "model.onnx"), providers=["CPUExecutionProvider"])
    given = drawn(6, 2, 5)
    np.testing.assert_allclose(session.run(None, shared(given))[0], wanted(model_of(folder), given), atol=1e-4)


def test_the_graph_is_valid_and_says_what_it_expects(saved: Path, exported: Path) -> None:
    onnx.checker.check_model(str(exported / "model.onnx"), full_check=True)
    graph = onnx.load(str(exported / "model.onnx"), load_external_data=False)
    facts = json.loads({entry.key: entry.value for entry in graph.metadata_props}["polar"])
    described = json.loads((exported / "polar.json").read_text())
    for name, sha256 in described.pop("files").items():
        assert hashlib.sha256((exported / name).read_bytes()).hexdigest() == sha256
    assert described.pop("vocabSize") == VOCAB
    assert facts == described
    assert facts["manifestSha256"] == read_manifest(saved).sha256
    assert facts["encoding"]["maxLength"] == 60
    assert facts["encoding"]["wrapper"] == "sft"
    assert graph.opset_import[0].version == 17


def test_node_tests_run_the_graph_that_is_exported(tmp_path: Path) -> None:
    """testdata/onnx; UPDATE_TESTDATA=1 writes it again."""
    folder = write_folder(tmp_path / "golden", internlm2_config(), internlm2_tensors(llama_tensors()))
    export_onnx(folder, tmp_path / "onnx")
    cases = []
    for number, sizes in enumerate([(1, 1, 1), (9, 3, 5), (BLOCK + 4, 2, BLOCK + 3)]):
        given = drawn(*sizes, seed=number)
        scores = wanted(model_of(folder), given).tolist()
        candidates = [candidate.tolist() for candidate in given["candidates"]]
        cases.append({"prefix": given["prefix"].tolist(), "candidates": candidates, "scores": scores})
    if os.environ.get("UPDATE_TESTDATA"):
        shutil.rmtree(GOLDEN, ignore_errors=True)
        GOLDEN.mkdir(parents=True)
        for name in ("model.onnx", "model.onnx.data", "polar.json", "tokenizer.json"):
            shutil.copy(tmp_path / "onnx" / name, GOLDEN / name)
        (GOLDEN / "cases.json").write_text(json.dumps(cases) + "\n")
    graphs = [onnx.load(str(place / "model.onnx")).graph for place in (GOLDEN, tmp_path / "onnx")]
    assert graphs[0] == graphs[1]
    stored = json.loads((GOLDEN / "cases.json").read_text())
    for one, case in zip(stored, cases, strict=True):
        np.testing.assert_allclose(one.pop("scores"), case.pop("scores"), atol=1e-5)
        assert one == case
