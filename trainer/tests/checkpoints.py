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


def save_checkpoint(
    root: Path, step: int = 5, val_loss: float | None = 0.25, model: dict[str, torch.Tensor] | None = None
) -> Path:
    """A checkpoint directory; the step is the seed of its weights, if they are not given."""
    config = {
        "kind": "PolarFinetune",
        "run": {"namespace": "team", "name": "tiny"},
        "seed": 7,
        "data": {"maxLength": 60, "maxResponseLength": 20, "wrapper": "sft"},
        "optimizer": {"learningRate": "0.001"},
        "model": {"init": {"path": "/secret/place", "manifestSha256": "0123"}},
    }
    snapshot = checkpoint.Snapshot(
        step=step, tokens=1234, val_loss=val_loss, config=config, model=model or llama_tensors(seed=step),
        optimizer={}, rng={}, state={"model": {**DIMENSIONS, "vocabSize": VOCAB}}, tokenizer_json=tokenizer_json(),
    )  # fmt: skip
    return checkpoint.save(root, snapshot).path
