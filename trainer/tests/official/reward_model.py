"""Makes, opens and runs official InternLM2ForRewardModel models. Runs in the official environment.

Reads a list of tasks, each {"do": name, ...}, and prints the list of their results as JSON.
"""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from transformers import AutoModel, AutoTokenizer


def official() -> ModuleType:
    """The model's code, without the rest of the package and what that needs."""
    package = importlib.util.find_spec("xtuner")
    assert package and package.submodule_search_locations
    folder = Path(package.submodule_search_locations[0], "tools/model_converters/modeling_internlm2_reward")
    found = importlib.util.spec_from_file_location(
        "official", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert found and found.loader
    sys.modules["official"] = importlib.util.module_from_spec(found)
    found.loader.exec_module(sys.modules["official"])
    return importlib.import_module("official.modeling_internlm2")


def make(code: ModuleType, task: dict[str, Any]) -> None:
    """A randomly initialised model, saved by the official class."""
    torch.manual_seed(task["seed"])
    model = code.InternLM2ForRewardModel(code.InternLM2Config(**task["config"]))
    for weight in model.parameters():
        vector = weight.ndim == 1
        torch.nn.init.normal_(weight, mean=float(vector), std=0.1 if vector else weight.shape[1] ** -0.5)
    model.save_pretrained(task["folder"], safe_serialization=task["safe"], max_shard_size=task["shard"])


def score(code: ModuleType, task: dict[str, Any]) -> list[float]:
    """Scores of padded sequences; with "auto" the class is found as a user's program would find it."""
    options = {"torch_dtype": torch.float32, "attn_implementation": task["attention"]}
    if task["auto"]:
        model = AutoModel.from_pretrained(task["folder"], trust_remote_code=True, **options)
    else:
        model = code.InternLM2ForRewardModel.from_pretrained(task["folder"], **options)
    model.eval()
    ids, mask = (torch.tensor([row[part] for row in task["rows"]]) for part in ("ids", "mask"))
    with torch.no_grad():
        found: list[float] = model(input_ids=ids, attention_mask=mask).logits[:, 0].tolist()
    return found


def tokenize(code: ModuleType, task: dict[str, Any]) -> dict[str, Any]:
    """A text's ids and the special tokens, as a server finds them."""
    tokenizer = AutoTokenizer.from_pretrained(task["folder"])
    names = ("bos_token_id", "eos_token_id", "pad_token_id", "padding_side", "additional_special_tokens")
    return {"ids": tokenizer(task["text"])["input_ids"], **{name: getattr(tokenizer, name) for name in names}}


def code_folder(code: ModuleType, task: dict[str, Any]) -> str:
    """Where the model's code is."""
    assert code.__file__
    return str(Path(code.__file__).parent)


TASKS = {"make": make, "score": score, "tokenize": tokenize, "code_folder": code_folder}

if __name__ == "__main__":
    given = json.load(sys.stdin)
    the_code = official()
    print(json.dumps([TASKS[task["do"]](the_code, task) for task in given]))
