"""An exported folder with seeded random weights of the 10M preset, and sequences of the paper's proportions.

python bench/reward/prepare.py FOLDER SCALE GROUPS: writes FOLDER/exported, FOLDER/sequences.json and FOLDER/weights.pt.
Prompts have 512 tokens, references and candidates 2,048 (the means of the paper's 1-1024 and 1-4096), divided by SCALE;
`mixed` draws candidates and references uniformly from 1 to twice that.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from polar import checkpoint
from polar.config import Architecture
from polar.encode import Ids
from polar.flops import step_flops
from polar.model import build
from polar.onnx_export import export_onnx
from polar.packing import shared_length
from polar.tokenizer import train_tokenizer

ARCH = Architecture(
    hidden_size=320, num_layers=9, num_heads=10, num_key_value_heads=5, intermediate_size=864, rope_theta=10_000
)
VOCAB = 4096
CANDIDATES = 16
FIRST_TEXT_ID = 4


def main(folder: Path, scale: int, groups: int) -> None:
    """Write everything."""
    tokenizer = train_tokenizer([f"w{number}" for number in range(20_000)], VOCAB)
    vocab = tokenizer.vocab_size
    model = build(ARCH, vocab, dropout=0.0, seed=1)
    with torch.no_grad():
        model.v_head.weight.normal_(0, 0.05, generator=torch.Generator().manual_seed(2))
    sizes = {
        "hiddenSize": ARCH.hidden_size, "numLayers": ARCH.num_layers, "numHeads": ARCH.num_heads,
        "numKeyValueHeads": ARCH.num_key_value_heads, "intermediateSize": ARCH.intermediate_size,
        "ropeTheta": ARCH.rope_theta, "vocabSize": vocab,
    }  # fmt: skip
    data = {"maxLength": 16_384, "maxResponseLength": 4_096, "wrapper": "sft"}
    snapshot = checkpoint.Snapshot(
        step=1, tokens=0, val_loss=None, config={"kind": "PolarPretrain", "run": {}, "seed": 1, "data": data},
        model=model.state_dict(), optimizer={}, rng={}, state={"model": sizes}, tokenizer_json=tokenizer.to_json(),
    )  # fmt: skip
    saved = checkpoint.save(folder / "run", snapshot).path
    export_onnx(saved, folder / "exported", replace=True)
    sets = {name: _draw(scale, groups, vocab, mixed=name == "mixed") for name in ("equal", "mixed")}
    described = {name: {"groups": _lists(drawn), **_limits(drawn)} for name, drawn in sets.items()}
    (folder / "sequences.json").write_text(json.dumps({"checkpoint": str(saved), "sets": described}))


def _draw(scale: int, groups: int, vocab: int, *, mixed: bool) -> list[list[Ids]]:
    random = np.random.Generator(np.random.PCG64(7))
    tokens = lambda count: random.integers(FIRST_TEXT_ID, vocab, count, dtype=np.int32)  # noqa: E731
    long = lambda: int(random.integers(1, 4097)) // scale + 1 if mixed else 2048 // scale  # noqa: E731
    found = []
    for _ in range(groups):
        prompt, reference = tokens(512 // scale), tokens(long())
        head = [np.array([1], np.int32), prompt, reference, np.array([2], np.int32), prompt]
        found.append([np.concatenate([*head, tokens(long()), [3]]).astype(np.int32) for _ in range(CANDIDATES)])
    return found


def _lists(groups: list[list[Ids]]) -> list[list[list[int]]]:
    return [[sequence.tolist() for sequence in group] for group in groups]


def _limits(groups: list[list[Ids]]) -> dict[str, float]:
    """What arithmetic allows: matrix products and attention, and tokens alone."""
    prefix = np.array([shared_length(group) for group in groups])
    branch = np.array([[len(s) for s in group] for group in groups]) - prefix[:, None]
    flops = step_flops(ARCH, prefix, branch)
    tokens = (branch.sum() + CANDIDATES * prefix.sum()) / (branch.sum() + prefix.sum())
    return {"limit": flops.shared_limit, "limit_tokens": float(tokens), "gflop": flops.useful / 3e9}


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
