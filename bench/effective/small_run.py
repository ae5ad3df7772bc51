"""A small run for the bench: seeded rows and the run config of each attempt."""

import json
import random
from pathlib import Path
from typing import Any

WORDS = "river stone lamp cloud bird field paper green quick silent bright old small deep warm cold".split()  # noqa: SIM905
WORKERS = 2
HANG_SECONDS = 5
SAVE_SECONDS = 4


def write_rows(path: Path, prompts: int = 24, policies: int = 4, samples: int = 2) -> Path:
    """Policies that prefer different words."""
    rng = random.Random(0)
    with path.open("w", encoding="utf-8") as file:
        for prompt in (f"{rng.choice(WORDS)} {rng.choice(WORDS)} {number}" for number in range(prompts)):
            for policy in range(policies):
                liked = WORDS[4 * policy : 4 * policy + 4]
                for _ in range(samples):
                    words = (rng.choice(liked if rng.random() < 0.8 else WORDS) for _ in range(40))
                    row = {"prompt": prompt, "policy": f"policy-{policy}", "output": " " + " ".join(words)}
                    file.write(json.dumps({"prompt_id": prompt, **row}) + "\n")
    return path


def run_config(folder: Path, rows: Path, attempt: int, steps: int, port: int) -> dict[str, Any]:
    """What the operator would write for an attempt."""
    return {
        "apiVersion": "polar.training/v1alpha1",
        "kind": "PolarPretrain",
        "run": {"namespace": "bench", "name": "effective", "uid": "effective", "attempt": attempt},
        "gang": {"workers": WORKERS, "processesPerWorker": 1, "masterAddress": "127.0.0.1", "masterPort": port},
        "seed": 1,
        "model": {
            "architecture": {
                "hiddenSize": 128, "numLayers": 4, "numHeads": 4, "numKeyValueHeads": 2, "intermediateSize": 384,
                "ropeTheta": 10000,
            },
            "dropout": "0", "tokenizer": {"vocabSize": 512},
        },
        "data": {
            "path": str(rows), "pairing": "samePrompt", "negativesPerPositive": 1, "maxLength": 512,
            "maxResponseLength": 128, "wrapper": "pretrain",
        },
        "budget": {"steps": steps},
        "optimizer": {
            "learningRate": "0.001", "batchTriplets": 16, "schedule": "constant", "warmupPercent": 0,
            "minLearningRatePercent": 10, "weightDecay": "0", "beta1": "0.9", "beta2": "0.95", "gradientClip": "1",
        },
        "validation": {"everySteps": 1000, "pairs": 8, "heldOutPromptPercent": 20, "heldOutPolicies": 0},
        "checkpoint": {
            "directory": str(folder / "run"), "uri": "pvc://bench/effective", "everySeconds": SAVE_SECONDS,
            "keepLast": 3, "keepBest": 1,
        },
        "watch": {"hangTimeoutSeconds": HANG_SECONDS, "hashEverySteps": 0},
    }  # fmt: skip
