"""Token sequences as the official code makes them. Runs in the official environment: JSON in, JSON out.

Reads a list of {"folder", "cases"}, cases as in testdata/encoding. Prints for each the list of its cases' results,
{"client": ids of each candidate, "training": [ids, ids]}. What the two official modules import for other purposes
(datasets, mmengine) is replaced by stand-ins.
"""

import contextlib
import importlib
import io
import json
import sys
import types
from importlib.metadata import distribution
from pathlib import Path
from unittest.mock import MagicMock


def load(package: str, module: str, unused: list[str]) -> types.ModuleType:
    """One module of xtuner without its package's __init__, which would import all of xtuner."""
    sys.modules.update({name: MagicMock() for name in unused})
    root = Path(str(distribution("xtuner").locate_file("xtuner")))
    for name in ("xtuner", package):
        parent = types.ModuleType(name)
        parent.__path__ = [str(root.joinpath(*name.split(".")[1:]))]
        sys.modules[name] = parent
    return importlib.import_module(f"{package}.{module}")


UNUSED = [
    *("datasets", "mmengine", "mmengine.config", "mmengine.logging", "mmengine.utils", "mmengine.utils.misc"),
    *("xtuner.registry", "xtuner.dataset.huggingface"),
]
rm_utils = load("xtuner.utils", "rm_utils", [])
preference_dataset = load("xtuner.dataset", "preference_dataset", UNUSED)


def client_ids(case, folder):
    """Each candidate on its own; the text is tokenised as the servers do."""
    limits = case["limits"]
    client = rm_utils.RewardModelClient(
        folder,
        max_length=limits["maxLength"],
        max_response_length=limits["maxResponseLength"],
        response_cut_side=limits["cutSide"],
    )
    shared = {key: case[key] for key in ("prompt", "reference", "wrapper")}
    texts = client.encode([{**shared, "output": candidate} for candidate in case["candidates"]])
    return [client.tokenizer.encode(text) for text in texts]


def training_ids(case, tokenizer):
    """The first two candidates as chosen and rejected (one candidate is both)."""
    as_messages = lambda content: [{"content": content}] if isinstance(content, str) else content  # noqa: E731
    names = ["prompt", "reference", "chosen", "rejected"]
    contents = [case["prompt"], case["reference"], case["candidates"][0], case["candidates"][-1]]
    pair = {name: as_messages(content) for name, content in zip(names, contents, strict=True)}
    found = preference_dataset.tokenize_ref(
        {**pair, "wrapper": case["wrapper"]},
        tokenizer,
        max_length=case["limits"]["maxLength"],
        max_response_length=case["limits"]["maxResponseLength"],
        is_reward=True,
        reward_token_id=tokenizer.convert_tokens_to_ids("[UNUSED_TOKEN_130]"),
    )
    return [found["chosen_ids"], found["rejected_ids"]]


def main():
    given = json.load(sys.stdin)
    with contextlib.redirect_stdout(io.StringIO()):  # the client prints what it cuts
        found = [both(one["cases"], one["folder"]) for one in given]
    print(json.dumps(found))


def both(cases, folder):
    tokenizer = rm_utils.AutoTokenizer.from_pretrained(folder)
    return [{"client": client_ids(case, folder), "training": training_ids(case, tokenizer)} for case in cases]


main()
