"""What an exported folder says of itself: `polar.json` for programs, `README.md` for people."""

from pathlib import Path
from typing import Any

from polar.encode import REWARD, SEPARATOR
from polar.footprint import parameters
from polar.tokenizer import TextEncoder
from polar.weights import Origin, Weights

ENCODING = f"BOS {{prompt}}{{j}}{{reference}}{SEPARATOR}{{prompt}}{{j}}{{candidate}}{REWARD}"


def provenance(weights: Weights, encoder: TextEncoder) -> dict[str, Any]:
    """Where the weights come from and how texts have to be encoded. No paths: the folder may travel."""
    return {
        "formatVersion": 1,
        "source": Path(weights.where).resolve().name,
        "manifestSha256": weights.manifest_sha256,
        "parameters": parameters(weights.architecture, weights.vocab_size),
        "training": _training(weights.origin) if weights.origin else None,
        "encoding": {
            "text": ENCODING,
            "maxLength": weights.positions,
            "bosTokenId": encoder.ids.bos,
            "padTokenId": encoder.ids.pad,
            "separatorTokenId": encoder.ids.separator,
            "rewardTokenId": encoder.ids.reward,
            **(_limits(weights.origin.run_config) if weights.origin else {}),
        },
    }


def _training(origin: Origin) -> dict[str, Any]:
    config = origin.run_config
    run = config.get("run", {})
    return {
        "kind": config.get("kind"),
        "run": f"{run.get('namespace')}/{run.get('name')}" if run else None,
        "step": origin.step,
        "tokens": origin.tokens,
        "validationLoss": origin.val_loss,
        "seed": config.get("seed"),
        "optimizer": config.get("optimizer"),
        "startedFrom": (config.get("model", {}).get("init") or {}).get("manifestSha256"),
    }


def _limits(run_config: dict[str, Any]) -> dict[str, Any]:
    data = run_config.get("data", {})
    names = ("maxLength", "maxResponseLength", "wrapper", "responseCutSide", "emptyResponse", "reference")
    return {name: data[name] for name in names if name in data}


def card(facts: dict[str, Any], dtype: str, with_code: bool) -> str:
    """The model card. `with_code` says whether the files that auto_map names are in the folder."""
    head = _head(facts, dtype, "layout InternLM2ForRewardModel")
    return "\n".join([*head, *_trained(facts), *_scores(facts), *_opens(with_code)]) + "\n"


def onnx_card(facts: dict[str, Any]) -> str:
    """The card of an ONNX folder."""
    return "\n".join([*_head(facts, "float32", "an ONNX graph"), *_trained(facts), *_scores(facts), *_ONNX]) + "\n"


_ONNX = [
    "## Use",
    "",
    "The inputs are a stream of tokens without padding, in which candidates may share a prefix:",
    "",
    "    ids int64 [N], positions int64 [N]   segments one after the other; places of the tokens in their sequences",
    "    blocks int64 [B, 5]    neighbouring rows of a segment, 128 or so, in the order of the stream: first row,",
    "                           row after the last, first shared key, key after the last shared, first own key",
    "    rewards int64 [R, 5]   the same for single rows, the reward tokens",
    "    past float32 [2L, K, P, E], keep int64 [T]   keys and values of an earlier run, rows to keep; P, T may be 0",
    "    scores float32 [R], kept float32 [2L, K, T, E]",
    "",
    "Row i is key P + i. A row sees the shared keys of its block and its own keys up to itself. One sequence of n",
    "tokens: positions 0..n-1, blocks [[0, n, 0, 0, 0]], rewards [[n-1, n, 0, 0, 0]].",
]


def _head(facts: dict[str, Any], dtype: str, layout: str) -> list[str]:
    return [
        "---",
        "pipeline_tag: text-classification",
        "tags: [reward-model, polar, internlm2]",
        "---",
        "",
        "# A POLAR reward model",
        "",
        "It scores how close the policy behind a candidate is to the policy behind a reference answer to the same",
        "prompt (Policy Discriminative Learning, arXiv 2507.05197). Higher is closer; only differences between",
        "candidates of one prompt mean something.",
        "",
        f"{facts['parameters']:,} parameters, {dtype}, {layout}.",
        "",
    ]


def _trained(facts: dict[str, Any]) -> list[str]:
    training = facts["training"]
    if training is None:
        return ["## Origin", "", f"Converted from the Hugging Face folder `{facts['source']}`.", ""]
    rows = {
        "run": f"{training['kind']} {training['run']}",
        "checkpoint": f"{facts['source']}, SHA-256 of its manifest `{facts['manifestSha256']}`",
        "steps": training["step"],
        "corpus tokens": f"{training['tokens']:,}",
        "validation loss": training["validationLoss"],
        "seed": training["seed"],
        "started from": training["startedFrom"],
    }
    shown = [f"| {name} | {value} |" for name, value in rows.items() if value is not None]
    return ["## Training", "", "| | |", "|---|---|", *shown, "", "`polar.json` has the optimizer and the encoding.", ""]


def _scores(facts: dict[str, Any]) -> list[str]:
    encoding = facts["encoding"]
    return [
        "## Input",
        "",
        f"    {encoding['text']}",
        "",
        "j is a newline with wrapper `sft` and nothing with wrapper `pretrain`; the tokenizer adds the BOS. At most",
        f"{encoding['maxLength']} tokens. The score is the head's value at the last token.",
        "",
    ]


def _opens(with_code: bool) -> list[str]:
    return [
        "## Use",
        "",
        *(["The Python files that `auto_map` names are in this folder."] if with_code else _CODE_MISSING),
        "",
        "    python3 -m sglang.launch_server --model . --trust-remote-code --is-embedding    POST /classify",
        "    vllm serve . --runner pooling --trust-remote-code                               POST /pooling",
        "    lmdeploy serve api_server . --backend pytorch                                   POST /pooling",
    ]


_CODE_MISSING = [
    "`auto_map` in `config.json` names `configuration_internlm2.py` and `modeling_internlm2.py`. They are not in this",
    "folder: copy them from a released model of this layout, or from the PyPI package xtuner 0.2.0",
    "(`tools/model_converters/modeling_internlm2_reward`). The servers below need the first for the configuration",
    "class; the model's code is their own.",
]
