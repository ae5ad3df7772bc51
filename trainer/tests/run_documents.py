"""Run configs and data files for tests."""

import gzip
import json
import random
from pathlib import Path
from typing import Any

WORDS = "river stone lamp cloud bird field paper green quick silent bright old small deep warm cold".split()  # noqa: SIM905


def pretrain_document(directory: Path, data: Path, **changes: Any) -> dict[str, Any]:
    """A tiny PolarPretrain run; `changes` are dotted keys with their values, None removes one."""
    document: dict[str, Any] = {
        "apiVersion": "polar.training/v1alpha1",
        "kind": "PolarPretrain",
        "run": {"namespace": "ns", "name": "tiny", "uid": "0123456789", "attempt": 1},
        "gang": {"workers": 1, "processesPerWorker": 1, "masterAddress": "127.0.0.1", "masterPort": 29400},
        "seed": 3,
        "model": {
            "architecture": {
                "hiddenSize": 32, "numLayers": 2, "numHeads": 2, "numKeyValueHeads": 1, "intermediateSize": 64,
                "ropeTheta": 10000,
            },
            "dropout": "0.1",
            "tokenizer": {"vocabSize": 400},
        },
        "data": {
            "path": str(data), "pairing": "samePrompt", "negativesPerPositive": 2, "maxLength": 64,
            "maxResponseLength": 20, "wrapper": "pretrain",
        },
        "budget": {"steps": 20},
        "optimizer": {
            "learningRate": "0.003", "batchTriplets": 6, "schedule": "cosine", "warmupPercent": 10,
            "minLearningRatePercent": 10, "weightDecay": "0.01", "beta1": "0.9", "beta2": "0.95", "gradientClip": "1",
        },
        "validation": {"everySteps": 5, "pairs": 40, "heldOutPromptPercent": 25, "heldOutPolicies": 0},
        "checkpoint": {
            "directory": str(directory), "uri": "pvc://claim/ns/polarpretrain/tiny-01234567", "everySteps": 5,
            "keepLast": 10, "keepBest": 1,
        },
    }  # fmt: skip
    return change(document, **changes)


def finetune_document(directory: Path, data: Path, init: Path, **changes: Any) -> dict[str, Any]:
    """A tiny PolarFinetune run from a checkpoint."""
    document = pretrain_document(directory, data)
    document["kind"] = "PolarFinetune"
    document["model"] = {"dropout": "0", "init": {"path": str(init)}}
    del document["data"]["pairing"], document["data"]["negativesPerPositive"]
    document["data"]["wrapper"] = "sft"
    del document["validation"]["heldOutPolicies"]
    return change(document, **changes)


def change(document: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Set keys such as `data__path` in a document; None removes one."""
    for key, value in changes.items():
        *parents, last = key.split("__")
        place = document
        for parent in parents:
            place = place[parent]
        if value is None:
            del place[last]
        else:
            place[last] = value
    return document


def trajectory_rows(prompts: int = 12, policies: int = 4, samples: int = 2, seed: int = 0) -> list[dict[str, Any]]:
    """Rows of policies that prefer different words, so that there is something to learn."""
    rng = random.Random(seed)
    rows = []
    for p in range(prompts):
        prompt = " ".join(rng.choices(WORDS, k=3))
        for q in range(policies):
            for _ in range(samples):
                liked = WORDS[4 * q % len(WORDS) : 4 * q % len(WORDS) + 4]
                output = " " + " ".join(rng.choice(liked if rng.random() < 0.8 else WORDS) for _ in range(10))
                rows.append({"prompt_id": f"p{p:03d}", "prompt": prompt, "policy": f"policy-{q}", "output": output})
    return rows


def preference_rows(count: int = 24, seed: int = 1) -> list[dict[str, Any]]:
    """Ranked triplets in message form: the chosen answer shares its words with the reference."""
    rng = random.Random(seed)

    def text(words: list[str]) -> list[dict[str, str]]:
        return [{"role": "assistant", "content": " ".join(rng.choice(words) for _ in range(8))}]

    rows = []
    for n in range(count):
        prompt = [{"role": "user", "content": f"{rng.choice(WORDS)} {n % (count // 2)}"}]
        rows.append(
            {"prompt": prompt, "reference": text(WORDS[:4]), "chosen": text(WORDS[:4]), "rejected": text(WORDS[8:])}
        )
    return rows


def write_jsonl(path: Path, rows: list[Any]) -> Path:
    """Write rows as JSON lines, gzipped when the name says so."""
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def write_json(path: Path, document: dict[str, Any]) -> Path:
    """Write a run config."""
    path.write_text(json.dumps(document))
    return path
