"""How a model is placed on its devices: whole copies or shards, and how many tokens are computed at once. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from polar.config import Architecture
from polar.config_runtime import Engine
from polar.errors import ConfigError
from polar.evaluate import MICRO_BATCH_TOKENS as SCORING_TOKENS
from polar.footprint import FP32, Footprint, Setting, footprint, human, parameters, short_count
from polar.step import MICRO_BATCH_TOKENS

MOMENTS_AND_WEIGHTS = 3  # fp32 copies of each parameter in a checkpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDimensions:
    """Dimensions and vocabulary of a model."""

    arch: Architecture
    vocab_size: int

    def parameters(self) -> int:
        """Number of parameters, the embedding included."""
        return parameters(self.arch, self.vocab_size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """What trains: `world_size` processes with a device ("cpu" or "cuda") of `memory` bytes each."""

    device: str
    world_size: int
    memory: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Upper bounds in tokens: of one group, of all groups of a process in a step, and in a validation."""

    longest_group: int
    share: int
    scored: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a model is placed, and what that takes of each device."""

    setting: Setting
    footprint: Footprint
    hardware: Hardware
    checkpoint_bytes: int

    @property
    def needed(self) -> int:
        """Bytes a device needs."""
        return self.footprint.on_device(self.hardware.device)

    def engine(self, engine: Engine) -> Engine:
        """The engine with its sharding decided."""
        return replace(engine, sharding="full" if self.setting.sharded else "none")


def make_plan(engine: Engine, model: ModelDimensions, hardware: Hardware, load: Load) -> Plan:
    """The first way to train that fits: whole copies before shards, large micro-batches before small ones.

    Micro-batches are never smaller than the longest group. Raises ConfigError with the arithmetic of the smallest way
    when none fits.
    """
    smallest = None
    for setting in _settings(engine, hardware, load):
        smallest = Plan(
            setting=setting,
            footprint=footprint(model.arch, model.vocab_size, setting),
            hardware=hardware,
            checkpoint_bytes=MOMENTS_AND_WEIGHTS * FP32 * model.parameters(),
        )
        if smallest.needed <= hardware.memory:
            return smallest
    assert smallest is not None
    raise ConfigError(_refusal(model, smallest, load, engine))


def arithmetic(plan: Plan) -> str:
    """The parts of a device's memory, "weights 1.0 GiB + ... = 9.1 GiB"."""
    own = plan.footprint
    parts = {
        "weights": own.weights, "gradients": own.gradients, "optimizer": own.optimizer, "copies": own.copies,
        f"activations of {plan.setting.micro_batch_tokens} tokens": own.activations,
        "runtime and fragmentation": own.overhead,
    }  # fmt: skip
    if plan.hardware.device == "cpu":
        parts["copy being saved"] = own.saving
    return " + ".join(f"{name} {human(size)}" for name, size in parts.items() if size) + f" = {human(plan.needed)}"


def _settings(engine: Engine, hardware: Hardware, load: Load) -> Iterator[Setting]:
    sharded = {"none": [False], "full": [True], "auto": [False, True]}[engine.sharding]
    for split in sharded if hardware.world_size > 1 else [False]:
        for tokens in _micro_batches(min(MICRO_BATCH_TOKENS[hardware.device], load.share), load.longest_group):
            yield Setting(
                device=hardware.device,
                world_size=hardware.world_size,
                sharded=split,
                compute_bytes=compute_bytes(engine, hardware.device),
                checkpointing=engine.activation_checkpointing,
                micro_batch_tokens=tokens,
                scoring_tokens=min(SCORING_TOKENS[hardware.device], load.scored),
            )


def _micro_batches(largest: int, longest_group: int) -> Iterator[int]:
    while largest > longest_group:
        yield largest
        largest //= 2
    yield longest_group


def compute_bytes(engine: Engine, device: str) -> int:
    """Bytes of a number in the layers."""
    wide = engine.precision == "fp32" or (engine.precision == "auto" and device == "cpu")
    return FP32 if wide else 2


def _refusal(model: ModelDimensions, plan: Plan, load: Load, engine: Engine) -> str:
    setting = plan.setting
    advice = [
        "" if engine.activation_checkpointing else "engine.activationCheckpointing true",
        "" if setting.sharded or engine.sharding != "none" else "engine.sharding full",
        "more workers" if engine.sharding != "none" else "",
        "a smaller data.maxLength or maxResponseLength, a smaller model",
    ]
    split = f"a share of {setting.world_size}" if setting.sharded else "a whole copy"
    return (
        f"model: {short_count(model.parameters())} parameters do not fit: a process with {split} has "
        f"{human(plan.hardware.memory)} and needs {arithmetic(plan)}; "
        f"the longest group has {load.longest_group} tokens. Try {', '.join(filter(None, advice))}"
    )
