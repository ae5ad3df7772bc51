"""A folder with the model as an ONNX graph (onnx_model.py), for servers without Python.

model.onnx        the graph; its metadata `polar` is the content of polar.json without its last two keys
model.onnx.data   the weights, float32
polar.json        checkpoint hash, encoding, limits, token ids; `vocabSize`; `files`, the SHA-256 of the three files a
                  server reads
tokenizer.json    README.md
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import onnx
import torch
from onnx import TensorProto, ValueInfoProto, helper

from polar.config import Architecture
from polar.durable import sha256_of
from polar.export_card import onnx_card, provenance
from polar.export_folder import new_folder
from polar.onnx_model import ModelGraph
from polar.onnx_ops import Graph
from polar.tokenizer import tokenizer_from_checkpoint
from polar.weights import Weights, open_weights

OPSET = 17
IR_VERSION = 8
ALIGNMENT = 64
DATA_FILE = "model.onnx.data"
INPUTS: dict[str, list[str | int]] = {
    "ids": ["N"],
    "positions": ["N"],
    "blocks": ["B", 5],
    "rewards": ["R", 5],
    "keep": ["T"],
}
OUTPUTS = ("scores", "kept")


def export_onnx(source: Path, target: Path, *, replace: bool = False, beat: Callable[[], None] = lambda: None) -> None:
    """Write a checkpoint or Hugging Face folder as the new folder `target`. Holds one tensor in memory at a time and
    calls `beat` for each.

    CheckpointError for a bad source, ConfigError when `target` exists (unless it may be replaced).
    """
    weights = open_weights(source)
    encoder = tokenizer_from_checkpoint(weights.tokenizer_json, weights.where)
    facts = provenance(weights, encoder)
    text = _json(facts)
    with new_folder(target, replace=replace) as folder:
        with (folder / DATA_FILE).open("xb") as file:
            stored = []
            for tensor in _write_weights(weights, file):
                stored.append(tensor)
                beat()
        onnx.save(_model(weights, stored, text), str(folder / "model.onnx"))
        (folder / "tokenizer.json").write_text(encoder.to_json(), encoding="utf-8")
        hashes = {name: sha256_of(folder / name) for name in ("model.onnx", DATA_FILE, "tokenizer.json")}
        described = (
            json.dumps({**facts, "vocabSize": weights.vocab_size, "files": hashes}, indent=2, ensure_ascii=False) + "\n"
        )
        (folder / "polar.json").write_text(described, encoding="utf-8")
        (folder / "README.md").write_text(onnx_card(facts), encoding="utf-8")


def _json(facts: dict[str, Any]) -> str:
    return json.dumps(facts, indent=2, ensure_ascii=False) + "\n"


def _model(weights: Weights, stored: list[TensorProto], facts: str) -> onnx.ModelProto:
    graph, arch = Graph(), weights.architecture
    found = ModelGraph(graph, arch).results()
    graph.nodes += [helper.make_node("Identity", [own], [name]) for own, name in zip(found, OUTPUTS, strict=True)]
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, axes) for name, axes in INPUTS.items()]
    inputs.append(_cache("past", "P", arch))
    outputs = [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["R"]), _cache("kept", "T", arch)]
    whole = helper.make_graph(graph.nodes, "polar", inputs, outputs, initializer=[*graph.initializers, *stored])
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(whole, opset_imports=opsets, ir_version=IR_VERSION, producer_name="polar.export")
    helper.set_model_props(model, {"polar": facts})
    return model


def _cache(name: str, length: str, arch: Architecture) -> ValueInfoProto:
    """Keys and values of some rows, layer after layer."""
    axes: list[str | int] = [2 * arch.num_layers, arch.num_key_value_heads, length, arch.head_size()]
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, axes)


def _write_weights(weights: Weights, file: BinaryIO) -> Iterator[TensorProto]:
    """Writes the tensors one after the other and describes where each is."""
    for name, tensor in weights.tensors():
        matrix = tensor.ndim == 2 and name != "model.embed_tokens.weight"
        value = (tensor.t() if matrix else tensor).to(torch.float32).contiguous()
        file.write(bytes(-file.tell() % ALIGNMENT))
        offset = file.tell()
        file.write(value.numpy().data)
        yield _external(name, list(value.shape), offset, file.tell() - offset)


def _external(name: str, shape: list[int], offset: int, length: int) -> TensorProto:
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape)
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", DATA_FILE), ("offset", str(offset)), ("length", str(length))):
        tensor.external_data.add(key=key, value=value)
    return tensor
