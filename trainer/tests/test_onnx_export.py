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
from hf_folders import VOCAB, internlm2_config, internlm2_tensors, llama_tensors, write_folder

from polar.manifest import read_manifest
from polar.model import RewardModel
from polar.onnx_export import export_onnx
from polar.onnx_model import BLOCK
from polar.packing import pack
from polar.weights import open_weights

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
    return {
        "prefix_ids": draw.integers(0, VOCAB, prefix),
        "candidate_ids": draw.integers(0, VOCAB, (groups, width)),
        "candidate_lengths": lengths,
    }


@torch.no_grad()
def wanted(model: RewardModel, given: dict[str, Any]) -> Any:
    """The scores of the whole sequences, one after the other, nothing shared."""
    rows = zip(given["candidate_ids"], given["candidate_lengths"], strict=True)
    sequences = [np.concatenate([given["prefix_ids"], row[:length]]).astype(np.int32) for row, length in rows]
    return np.array([float(model(pack([[sequence]], np.array([0])))) for sequence in sequences])


@pytest.mark.parametrize(
    ("prefix", "groups", "width"),
    [(1, 1, 1), (7, 1, 4), (5, 4, 9), (BLOCK, 2, 3), (BLOCK + 1, 2, BLOCK), (30, 3, BLOCK + 5), (2 * BLOCK + 9, 1, 1)],
)
def test_scores_are_those_of_the_model(session: Any, model: RewardModel, prefix: int, groups: int, width: int) -> None:
    given = drawn(prefix, groups, width)
    (got,) = session.run(None, given)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, wanted(model, given), atol=1e-4)


def test_a_candidate_scores_the_same_whatever_is_scored_beside_it(session: Any) -> None:
    given = drawn(20, 5, 12)
    (together,) = session.run(None, given)
    for row, length in enumerate(given["candidate_lengths"]):
        alone = given["candidate_ids"][row : row + 1, :length]
        one = {"prefix_ids": given["prefix_ids"], "candidate_ids": alone, "candidate_lengths": np.array([length])}
        np.testing.assert_allclose(session.run(None, one)[0], together[row : row + 1], atol=1e-5)


def test_padding_does_not_change_a_score(session: Any) -> None:
    given = drawn(20, 5, 12)
    other = given["candidate_ids"].copy()
    for row, length in enumerate(given["candidate_lengths"]):
        other[row, length:] = (other[row, length:] + 1) % VOCAB
    np.testing.assert_array_equal(session.run(None, given)[0], session.run(None, {**given, "candidate_ids": other})[0])


def test_half_precision_weights_are_exported_too(tmp_path: Path) -> None:
    tensors = internlm2_tensors(llama_tensors(torch.bfloat16))
    folder = write_folder(tmp_path / "hf", internlm2_config(), tensors, 2, "bin")
    export_onnx(folder, tmp_path / "onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "onnx" / "model.onnx"), providers=["CPUExecutionProvider"])
    given = drawn(6, 2, 5)
    np.testing.assert_allclose(session.run(None, given)[0], wanted(model_of(folder), given), atol=1e-4)


def test_the_graph_is_valid_and_says_what_it_expects(saved: Path, exported: Path) -> None:
    onnx.checker.check_model(str(exported / "model.onnx"), full_check=True)
    graph = onnx.load(str(exported / "model.onnx"), load_external_data=False)
    facts = json.loads({entry.key: entry.value for entry in graph.metadata_props}["polar"])
    assert facts == json.loads((exported / "polar.json").read_text())
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
        cases.append({**{name: value.tolist() for name, value in given.items()}, "scores": scores})
    if os.environ.get("UPDATE_TESTDATA"):
        shutil.rmtree(GOLDEN, ignore_errors=True)
        GOLDEN.mkdir(parents=True)
        for name in ("model.onnx", "model.onnx.data"):
            shutil.copy(tmp_path / "onnx" / name, GOLDEN / name)
        (GOLDEN / "cases.json").write_text(json.dumps(cases) + "\n")
    graphs = [onnx.load(str(place / "model.onnx")).graph for place in (GOLDEN, tmp_path / "onnx")]
    assert graphs[0] == graphs[1]
    stored = json.loads((GOLDEN / "cases.json").read_text())
    for one, case in zip(stored, cases, strict=True):
        np.testing.assert_allclose(one.pop("scores"), case.pop("scores"), atol=1e-5)
        assert one == case
