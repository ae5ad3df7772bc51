"""A saved checkpoint of a small model with random weights."""

from pathlib import Path

import torch
from hf_folders import HEADS, HIDDEN, KV_HEADS, LAYERS, MLP, VOCAB, llama_tensors, tokenizer_json

from polar import checkpoint

DIMENSIONS = {
    "hiddenSize": HIDDEN,
    "numLayers": LAYERS,
    "numHeads": HEADS,
    "numKeyValueHeads": KV_HEADS,
    "intermediateSize": MLP,
    "ropeTheta": 10000,
}


def save_checkpoint(root: Path, seed: int = 0, model: dict[str, torch.Tensor] | None = None) -> Path:
    """A checkpoint directory."""
    config = {
        "kind": "PolarFinetune",
        "run": {"namespace": "team", "name": "tiny"},
        "seed": 7,
        "data": {"maxLength": 60, "maxResponseLength": 20, "wrapper": "sft"},
        "optimizer": {"learningRate": "0.001"},
        "model": {"init": {"path": "/secret/place", "manifestSha256": "0123"}},
    }
    snapshot = checkpoint.Snapshot(
        step=5, tokens=1234, val_loss=0.25, config=config, model=model or llama_tensors(seed=seed),
        optimizer={}, rng={}, state={"model": {**DIMENSIONS, "vocabSize": VOCAB}}, tokenizer_json=tokenizer_json(),
    )  # fmt: skip
    return checkpoint.save(root, snapshot).path
