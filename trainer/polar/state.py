"""Where a run stands, and how that goes into a checkpoint and comes back."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW

from polar import checkpoint
from polar.checkpoint import Loaded, Snapshot
from polar.config import Architecture, RunConfig
from polar.config_reader import camel, read_object
from polar.distributed import Dist
from polar.errors import CheckpointError, ConfigError
from polar.optim import load_state, state_tensors
from polar.parallel import Net
from polar.precision import LossScale
from polar.report import Score
from polar.resume import load_agreed, load_together
from polar.shard import fill
from polar.step import StepResult
from polar.stored import reader, shape_of
from polar.task import StyleBaseline, Validation
from polar.tokenizer import TextEncoder


@dataclass(kw_only=True, slots=True)
class TrainState:
    """Counters of the whole run, over all attempts. `cursor` is the number of the next group, `validated_step` the
    step of `validation`."""

    step: int = 0
    cursor: int = 0
    tokens: int = 0
    computed_tokens: int = 0
    validation: Validation | None = None
    validated_step: int = 0
    baseline: StyleBaseline | None = None

    def advance(self, result: StepResult, groups: int) -> None:
        """Count one step."""
        self.step += 1
        self.cursor += groups
        self.tokens += result.tokens
        self.computed_tokens += result.computed_tokens


@dataclass(kw_only=True, frozen=True, slots=True)
class Start:
    """What an attempt begins with.

    `resumed` is this run's own newest checkpoint, `branched` one of another run that is continued, `init` the weights
    to start from.
    """

    resumed: Loaded | None
    init: Loaded | None
    branched: Loaded | None = None

    @property
    def continued(self) -> Loaded | None:
        """The checkpoint that optimizer, place in the data and step come from."""
        return self.resumed or self.branched

    @property
    def weights(self) -> Loaded | None:
        """The checkpoint that weights, tokenizer and architecture come from."""
        return self.continued or self.init


def find_start(config: RunConfig, dist: Dist) -> Start:
    """The newest good checkpoint of this run, else the one it branches from, else the init checkpoint, or nothing.

    Collective. Raises CheckpointError when the one that is wanted is not intact.
    """
    resumed, init = load_agreed(Path(config.checkpoint.directory), dist), config.model.init
    if resumed:
        return Start(resumed=resumed, init=None)
    if config.resume_from:
        branched = load_together(Path(config.resume_from.path), config.resume_from.manifest_sha256, dist)
        return Start(resumed=None, init=None, branched=branched)
    if init is None:
        return Start(resumed=None, init=None)
    return Start(resumed=None, init=checkpoint.load(Path(init.path), init.manifest_sha256, model_only=True))


def architecture_of(loaded: Loaded) -> tuple[Architecture, int]:
    """Dimensions and vocabulary size of a checkpoint's model. CheckpointError when it does not say."""
    saved = loaded.state.get("model")
    if not isinstance(saved, dict) or not isinstance(saved.get("vocabSize"), int):
        raise CheckpointError(f"{loaded.info.path}/state.json: model: expected the dimensions of a model")
    dimensions = {key: value for key, value in saved.items() if key != "vocabSize"}
    try:
        return read_object(Architecture, dimensions, "model"), saved["vocabSize"]
    except ConfigError as error:
        raise CheckpointError(f"{loaded.info.path}/state.json: {error}") from error


def load_weights(model: nn.Module, loaded: Loaded) -> None:
    """Put a checkpoint's weights into a model. CheckpointError names the first tensor that does not fit."""
    where = str(loaded.info.path)
    parameters = dict(model.named_parameters())
    for name in sorted(parameters.keys() | loaded.model.keys()):
        expected = tuple(parameters[name].shape) if name in parameters else "no such tensor"
        got = shape_of(loaded.model, name) if name in loaded.model else "no such tensor"
        if expected != got:
            raise CheckpointError(f"{where}: {name}: expected {expected}, got {got}")
    for name, parameter in parameters.items():
        fill(parameter, reader(loaded.model, name))


def fill_model(model: nn.Module, tensors: Iterable[tuple[str, Tensor]], where: str) -> None:
    """Fill a model's parameters, one by one, or this rank's rows of them. CheckpointError names what does not fit."""
    left = dict(model.named_parameters())
    for name, tensor in tensors:
        parameter = left.pop(name, None)
        expected = "no such tensor" if parameter is None else tuple(parameter.shape)
        if parameter is None or expected != tuple(tensor.shape):
            raise CheckpointError(f"{where}: {name}: expected {expected}, got {tuple(tensor.shape)}")
        fill(parameter, lambda start, stop, tensor=tensor: tensor[start:stop])  # type: ignore[misc]
    for name, parameter in sorted(left.items()):
        raise CheckpointError(f"{where}: {name}: expected {tuple(parameter.shape)}, got no such tensor")


def restore(net: Net, optimizer: AdamW, loaded: Loaded) -> TrainState:
    """Bring back weights, optimizer, loss scale, RNG and counters of a checkpoint."""
    load_weights(net.model, loaded)
    load_state(optimizer, net.model, loaded.optimizer)
    net.dist.restore_rng(dict(loaded.rng))
    if net.scale and loaded.state.get("lossScale"):
        net.scale = LossScale(**loaded.state["lossScale"])
    return read_state(loaded)


def read_state(loaded: Loaded) -> TrainState:
    """The counters in a checkpoint. CheckpointError when they are not there."""
    saved = loaded.state
    try:
        return TrainState(
            step=loaded.info.step,
            cursor=int(saved["dataCursor"]),
            tokens=loaded.info.tokens,
            computed_tokens=int(saved["computedTokens"]),
            validation=_read_validation(saved.get("validation")),
            validated_step=int(saved.get("validatedStep", loaded.info.step)),
            baseline=StyleBaseline(**saved["styleBaseline"]) if saved.get("styleBaseline") else None,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{loaded.info.path}/state.json: {type(error).__name__}: {error}") from error


@dataclass(kw_only=True, frozen=True, slots=True)
class Recorder:
    """Makes snapshots of one run."""

    document: dict[str, Any]
    net: Net
    optimizer: AdamW
    encoder: TextEncoder
    dist: Dist
    parent: str | None

    def snapshot(self, state: TrainState, validated: bool) -> Snapshot:
        """Everything a checkpoint holds. Collective: it gathers the ranks' RNG states."""
        validation = state.validation
        return Snapshot(
            step=state.step,
            tokens=state.tokens,
            model=dict(self.net.model.state_dict()),
            optimizer=state_tensors(self.optimizer, self.net.model),
            rng=self.dist.gather_rng(),
            state=self._state(state),
            config=self.document,
            tokenizer_json=self.encoder.to_json(),
            val_loss=validation.seen.loss if validation and validated else None,
            world_size=self.dist.world_size,
            parent=self.parent,
        )

    def _state(self, state: TrainState) -> dict[str, Any]:
        decoder = self.net.model.model
        dimensions = {camel(key): value for key, value in asdict(decoder.arch).items()}
        return {
            "dataCursor": state.cursor,
            "computedTokens": state.computed_tokens,
            "model": {**dimensions, "vocabSize": decoder.embed_tokens.num_embeddings},
            "validation": asdict(state.validation) if state.validation else None,
            "validatedStep": state.validated_step,
            "styleBaseline": asdict(state.baseline) if state.baseline else None,
            "torch": torch.__version__,
            **({"lossScale": asdict(self.net.scale)} if self.net.scale else {}),
        }


def _read_validation(saved: dict[str, Any] | None) -> Validation | None:
    if not saved:
        return None
    return Validation(seen=Score(**saved["seen"]), unseen=Score(**saved["unseen"]) if saved["unseen"] else None)
