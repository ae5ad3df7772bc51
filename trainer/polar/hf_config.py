"""`config.json` of a Hugging Face folder: which model it describes, or why that model cannot be trained here."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polar.config import Architecture
from polar.errors import CheckpointError
from polar.layouts import HEAD, LLAMA_HEAD, Layout
from polar.model import NORM_EPS

MAX_JSON_BYTES = 64 << 20
MOST_LAYERS = 1000
NAMES: dict[str, tuple[Layout, str | None]] = {
    "InternLM2ForRewardModel": ("internlm2", HEAD),
    "InternLM2ForCausalLM": ("internlm2", None),
    "LlamaForSequenceClassification": ("llama", LLAMA_HEAD),
    "LlamaForCausalLM": ("llama", None),
}
UNSUPPORTED = ("bias", "attention_bias", "mlp_bias", "quantization_config")


@dataclass(frozen=True, kw_only=True, slots=True)
class HfModel:
    """What a folder holds. `head` is the stored name of the reward head, None when it has none. Beyond `max_length` the
    rotary embedding is another one (dynamic scaling); None when it never is. `positions`: max_position_embeddings."""

    layout: Layout
    head: str | None
    architecture: Architecture
    vocab_size: int
    max_length: int | None
    positions: int


def read_hf_config(path: Path) -> HfModel:
    """Reads config.json. Raises CheckpointError naming the key, what was expected and what was got."""
    return _Reader(path, read_json(path)).model()


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises CheckpointError."""
    if path.exists() and not path.is_file():
        raise CheckpointError(f"{path}: expected a regular file")
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise CheckpointError(f"{path}: expected at most {MAX_JSON_BYTES} bytes, got {path.stat().st_size}")
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: not JSON: {error}") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: expected a JSON object, got {type(value).__name__}")
    return value


class _Reader:
    """Reads keys of one config.json; absent keys have the values that the official classes give them."""

    def __init__(self, path: Path, values: dict[str, Any]) -> None:
        self._path, self._values = path, values

    def model(self) -> HfModel:
        layout, head = self._layout()
        self._refuse_what_differs()
        heads = self._whole("num_attention_heads")
        try:
            arch = Architecture(
                hidden_size=self._whole("hidden_size"),
                num_layers=self._layers(),
                num_heads=heads,
                num_key_value_heads=self._whole("num_key_value_heads", heads),
                intermediate_size=self._whole("intermediate_size"),
                rope_theta=self._theta(),
            )
        except ValueError as error:
            raise CheckpointError(f"{self._path}: {error}") from error
        self._expect("head_dim", arch.head_size(), (None, arch.head_size()))
        return HfModel(
            layout=layout, head=head, architecture=arch, vocab_size=self._whole("vocab_size"),
            max_length=self._unscaled_length(), positions=self._whole("max_position_embeddings", 2048),
        )  # fmt: skip

    def _layers(self) -> int:
        layers = self._whole("num_hidden_layers")
        if layers > MOST_LAYERS:
            raise self._wrong("num_hidden_layers", f"at most {MOST_LAYERS}", layers)
        return layers

    def _layout(self) -> tuple[Layout, str | None]:
        found = self._values.get("architectures")
        name = found[0] if isinstance(found, list) and len(found) == 1 else found
        if not isinstance(name, str) or name not in NAMES:
            raise self._wrong("architectures", f"one of {', '.join(NAMES)}", found)
        layout, head = NAMES[name]
        if head == LLAMA_HEAD:
            self._one_label()
        return layout, head

    def _one_label(self) -> None:
        labels = self._values.get("id2label", {"0": "LABEL_0", "1": "LABEL_1"})  # two when absent
        if not isinstance(labels, dict) or len(labels) != 1:
            raise self._wrong("id2label", "one label", labels)

    def _refuse_what_differs(self) -> None:
        for key in UNSUPPORTED:
            self._expect(key, "false or nothing", (None, False))
        self._expect("hidden_act", "silu", (None, "silu"))
        eps = self._values.get("rms_norm_eps", 1e-6)
        if not isinstance(eps, int | float) or isinstance(eps, bool) or eps != NORM_EPS:
            raise self._wrong("rms_norm_eps", str(NORM_EPS), eps)

    def _theta(self) -> int:
        theta = self._values.get("rope_theta", self._rope().get("rope_theta", 10_000))
        whole = isinstance(theta, int | float) and float(theta).is_integer() and not isinstance(theta, bool)
        if not whole or theta < 1:
            raise self._wrong("rope_theta", "a whole number of at least 1", theta)
        return int(theta)

    def _rope(self) -> dict[str, Any]:
        """The newer form of the rotary embedding's keys."""
        found = self._values.get("rope_parameters")
        if found is not None and not isinstance(found, dict):
            raise self._wrong("rope_parameters", "an object", found)
        return found or {}

    def _unscaled_length(self) -> int | None:
        scaling = self._values.get("rope_scaling")
        if scaling is None:
            scaling = self._rope() or {"type": "default"}
        if not isinstance(scaling, dict):
            raise self._wrong("rope_scaling", "an object", scaling)
        kind = scaling.get("rope_type", scaling.get("type", "default"))
        if kind == "default":
            return None
        if kind != "dynamic":
            raise self._wrong("rope_scaling.type", "dynamic or none", kind)
        return self._whole("max_position_embeddings")

    def _whole(self, key: str, default: int | None = None) -> int:
        value = self._values.get(key)
        value = default if value is None else value
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self._wrong(key, "a whole number of at least 1", value)
        return value

    def _expect(self, key: str, wanted: Any, allowed: tuple[Any, ...]) -> None:
        value = self._values.get(key)
        if not any(value is one or (type(value) is type(one) and value == one) for one in allowed):
            raise self._wrong(key, str(wanted), value)

    def _wrong(self, key: str, wanted: str, got: Any) -> CheckpointError:
        return CheckpointError(f"{self._path}: {key}: expected {wanted}, got {json.dumps(got)[:200]}")
