"""Scores equal those of the official InternLM2ForRewardModel, for its weights and for exported ones."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import save_checkpoint
from hf_folders import VOCAB, internlm2_config, tokenizer_json
from official_code import run_official

from polar.encode import Limits, Text
from polar.hf_export import HfOptions, export_hf
from polar.model import RewardModel
from polar.packing import pack
from polar.tokenizer import tokenizer_from_checkpoint
from polar.weights import open_weights

SEQUENCES = [
    np.random.default_rng(length).integers(4, VOCAB, length).astype(np.int32) for length in (1, 2, 7, 31, 32, 200)
]
HEADS = {"gqa": {}, "mha": {"num_key_value_heads": 4}, "mqa": {"num_key_value_heads": 1}}
TOLERANCE = 1e-5


def padded(side: str) -> list[dict[str, Any]]:
    width = max(len(ids) for ids in SEQUENCES)
    rows = []
    for ids in SEQUENCES:
        fill, real = [0] * (width - len(ids)), [1] * len(ids)
        left = side == "left"
        rows.append(
            {
                "ids": fill + ids.tolist() if left else ids.tolist() + fill,
                "mask": fill + real if left else real + fill,
            }
        )
    return rows


def score_task(folder: Path, side: str, attention: str, *, auto: bool = False) -> dict[str, Any]:
    return {"do": "score", "folder": str(folder), "attention": attention, "auto": auto, "rows": padded(side)}


@torch.no_grad()
def own_scores(folder: Path) -> Any:
    weights = open_weights(folder)
    model = RewardModel(weights.architecture, weights.vocab_size)
    model.load_state_dict(dict(weights.tensors()))
    alone = [float(model(pack([[ids]], np.array([0])))) for ids in SEQUENCES]
    as_one_group = model(pack([SEQUENCES], np.array([0]))).tolist()
    np.testing.assert_allclose(alone, as_one_group, atol=TOLERANCE)
    return np.array(alone)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of randomly initialised models, made by the official class, and the folder "code" of that class."""
    root = tmp_path_factory.mktemp("made")
    tasks: list[dict[str, Any]] = [{"do": "code_folder"}]
    for number, (name, changes) in enumerate(HEADS.items()):
        safe, shard = name != "mha", "5GB" if name == "mqa" else "50KB"
        config = internlm2_config(**changes)
        tasks.append(
            {"do": "make", "folder": str(root / name), "config": config, "seed": number, "safe": safe, "shard": shard}
        )
    code = run_official("reward_model", tasks)[0]
    for name in HEADS:
        (root / name / "tokenizer.json").write_text(tokenizer_json())
    return {"code": Path(code), **{name: root / name for name in HEADS}}


@pytest.fixture(scope="module")
def official_scores(made: dict[str, Path]) -> dict[tuple[str, str, str], list[float]]:
    keys = [(name, side, attention) for name in HEADS for side in ("left", "right") for attention in ("eager", "sdpa")]
    answers = run_official("reward_model", [score_task(made[name], side, how) for name, side, how in keys])
    return dict(zip(keys, answers, strict=True))


@pytest.mark.parametrize("heads", HEADS)
def test_official_weights_give_the_official_scores(
    made: dict[str, Path], official_scores: dict[tuple[str, str, str], list[float]], heads: str
) -> None:
    own = own_scores(made[heads])
    assert np.ptp(own) > 0.1
    for (name, side, attention), wanted in official_scores.items():
        if name == heads:
            np.testing.assert_allclose(own, wanted, atol=TOLERANCE, err_msg=f"{side} {attention}")


def test_the_official_class_opens_an_export_and_gives_the_same_scores(made: dict[str, Path], tmp_path: Path) -> None:
    saved = save_checkpoint(tmp_path / "run")
    export_hf(saved, tmp_path / "whole", HfOptions(dtype="float32", code=made["code"]))
    export_hf(saved, tmp_path / "sharded", HfOptions(dtype="float32", max_shard_bytes=50_000))
    encoder = tokenizer_from_checkpoint(open_weights(saved).tokenizer_json, "")
    text = "river lamp\nstone<|reward|>river lamp\nriver river[UNUSED_TOKEN_130]"
    *scores, tokens = run_official(
        "reward_model",
        [
            score_task(tmp_path / "whole", "right", "eager", auto=True),
            score_task(tmp_path / "sharded", "left", "sdpa"),
            {"do": "tokenize", "folder": str(tmp_path / "sharded"), "text": text},
        ],
    )
    for found in scores:
        np.testing.assert_allclose(own_scores(saved), found, atol=TOLERANCE)
    group = encoder.encode_group(
        Text("river lamp", "stone"), [Text("river lamp", "river river")], Limits(max_length=60, max_response_length=20)
    )
    assert tokens["ids"] == group[0].tolist()
    assert (tokens["bos_token_id"], tokens["pad_token_id"]) == (encoder.ids.bos, encoder.ids.pad)
    assert tokens["padding_side"] == "left"
    assert tokens["additional_special_tokens"] == ["<|reward|>", "[UNUSED_TOKEN_130]"]
