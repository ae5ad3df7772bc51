"""How much memory training takes, in bytes, from dimensions alone. Pure arithmetic; no device is asked.

Weights, gradients and both moments of AdamW are fp32. What layers compute in (`compute_bytes`) is fp32 or a 16-bit
format. D hidden size, F feed-forward size, K key/value heads, E head size.
"""

from dataclasses import dataclass
from itertools import pairwise

from polar.config import Architecture

FP32 = 4
RUNTIME = {"cpu": 700 << 20, "cuda": 1 << 30}  # interpreter and libraries; CUDA context and library workspaces
UNUSABLE = {"cpu": 0.2, "cuda": 0.1}  # lost to fragmentation, as a share of what is asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """How a model is trained, as far as memory depends on it.

    micro_batch_tokens: tokens of the largest stream that is trained on at once; scoring_tokens: that is scored at once
    in a validation. sharded: weights, gradients and optimizer are split over `world_size` devices.
    """

    device: str
    world_size: int
    sharded: bool
    compute_bytes: int
    checkpointing: bool
    micro_batch_tokens: int
    scoring_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """Bytes on one device, and of host memory for a copy that is being saved."""

    weights: int
    gradients: int
    optimizer: int
    copies: int
    activations: int
    overhead: int
    saving: int

    def on_device(self, device: str) -> int:
        """Bytes the device needs. On a CPU the copy that is being saved lies in the same memory."""
        resident = self.weights + self.gradients + self.optimizer + self.copies + self.activations + self.overhead
        return resident + (self.saving if device == "cpu" else 0)


def footprint(arch: Architecture, vocab_size: int, setting: Setting) -> Footprint:
    """Peak memory of a step with a save in flight."""
    total = parameters(arch, vocab_size)
    share = setting.world_size if setting.sharded else 1
    state = FP32 * total // share
    activations = max(activation_bytes(arch, setting), scoring_bytes(arch, setting))
    copies = _copies(arch, vocab_size, setting)
    asked = 4 * state + copies + activations
    return Footprint(
        weights=state,
        gradients=state,
        optimizer=2 * state,
        copies=copies,
        activations=activations,
        overhead=RUNTIME[setting.device] + int(UNUSABLE[setting.device] * asked),
        saving=3 * state,
    )


def parameters(arch: Architecture, vocab_size: int) -> int:
    """Number of parameters, the embedding included."""
    return vocab_size * arch.hidden_size + arch.num_layers * layer_parameters(arch) + 2 * arch.hidden_size


def layer_parameters(arch: Architecture) -> int:
    """Parameters of one layer: projections, feed-forward, two norms."""
    width = arch.hidden_size
    projections = 2 * width * width + 2 * width * _key_value(arch)
    return projections + 3 * width * arch.intermediate_size + 2 * width


def activation_bytes(arch: Architecture, setting: Setting) -> int:
    """What is kept for the backward pass, and the largest intermediate results of one layer."""
    tokens, s = setting.micro_batch_tokens, setting.compute_bytes
    layers = arch.num_layers - 1
    layer = _norms(arch, setting) + _rest_of_layer(arch, s)
    last = _norms(arch, setting) // 2 + 2 * s * _key_value(arch)
    inputs = s * arch.hidden_size * layers
    kept = inputs + layer if setting.checkpointing and layers else layers * layer
    gradients = s * (arch.intermediate_size + arch.hidden_size)
    return tokens * (kept + last + gradients)


def scoring_bytes(arch: Architecture, setting: Setting) -> int:
    """Results of one layer that exist at once when nothing is kept."""
    attention = 5 * arch.hidden_size + 2 * _key_value(arch)
    return setting.scoring_tokens * setting.compute_bytes * (attention + 3 * arch.intermediate_size)


def _norms(arch: Architecture, setting: Setting) -> int:
    """Bytes two norms keep of a token: their inputs in fp32 and outputs; the CPU has no fused norm and keeps the
    normalised inputs as well."""
    copies = 2 if setting.device == "cpu" else 1
    return 2 * (copies * FP32 + setting.compute_bytes) * arch.hidden_size


def _rest_of_layer(arch: Architecture, s: int) -> int:
    """Bytes a layer keeps of a token besides norms: queries, keys, values, attention output and its log-sum-exp, and
    four results of the feed-forward."""
    attention = s * (2 * arch.hidden_size + 2 * _key_value(arch)) + FP32 * arch.num_heads
    return attention + 4 * s * arch.intermediate_size


def _copies(arch: Architecture, vocab_size: int, setting: Setting) -> int:
    """Weights and gradients a second time: casts and buckets of replicas, or gathered layers of a sharded model."""
    s, layer = setting.compute_bytes, layer_parameters(arch)
    embedding = vocab_size * arch.hidden_size
    if setting.sharded:
        return 2 * s * layer + (s + FP32) * layer + 2 * FP32 * embedding
    casts = s * arch.num_layers * layer if s < FP32 else 0
    buckets = FP32 * (arch.num_layers * layer + embedding) if setting.world_size > 1 else 0
    return casts + buckets


def _key_value(arch: Architecture) -> int:
    """Width of all keys, and of all values."""
    return arch.num_key_value_heads * arch.head_size()


def human(size: float) -> str:
    """Bytes for people: 1536 is "1.5 KiB"."""
    units = ("B", "KiB", "MiB", "GiB", "TiB")
    scale = next((i for i, _ in enumerate(pairwise(units)) if size < 1024 ** (i + 1)), len(units) - 1)
    return f"{size / 1024**scale:.{0 if scale == 0 else 1}f} {units[scale]}"


def short_count(number: float) -> str:
    """A count for people: 1500000 is "1.5M"."""
    scale, letter = next(((s, unit) for s, unit in ((1e9, "B"), (1e6, "M"), (1e3, "K")) if number >= s), (1.0, ""))
    return f"{number / scale:.4g}{letter}"
