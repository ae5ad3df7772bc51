"""Scores sequences with the trainer's own model on one CPU thread when told to: the peer of bench/reward/score.ts.

python bench/reward/pytorch.py SEQUENCES.json; each line on standard input is {"set", "group", "share"}; each answer
{"seconds", "cpu", "scores"}. Unshared, each sequence is computed alone, which is its fastest way on a CPU.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from polar.model import RewardModel
from polar.packing import pack
from polar.state import fill_model
from polar.weights import open_weights


@torch.no_grad()
def main(file: Path) -> None:
    """Answer until the input ends."""
    torch.set_num_threads(1)
    described = json.loads(file.read_text())
    weights = open_weights(Path(described["checkpoint"]))
    model = RewardModel(weights.architecture, weights.vocab_size)
    fill_model(model, weights.tensors(), weights.where)
    model.eval()
    print(json.dumps({"torch": torch.__version__}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        group = [np.array(s, np.int32) for s in described["sets"][asked["set"]]["groups"][asked["group"]]]
        parts = [group] if asked["share"] else [[sequence] for sequence in group]
        wall, cpu = time.perf_counter(), time.process_time()
        scores = [score for part in parts for score in model(pack([part], np.arange(1))).tolist()]
        took = {"seconds": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
        print(json.dumps({**took, "scores": scores}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
