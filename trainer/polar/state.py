"""Where a run stands, and how that goes into a checkpoint and comes back."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW

from polar.checkpoint import Loaded, Snapshot
from polar.config_reader import camel
from polar.distributed import Dist
from polar.errors import CheckpointError, DataError
from polar.optim import load_state, state_tensors
from polar.parallel import Net
from polar.precision import LossScale
from polar.report import Score
from polar.shard import fill
from polar.step import StepResult
from polar.stored import reader, shape_of
from polar.task import StyleBaseline, Validation
from polar.tokenizer import TextEncoder


@dataclass(kw_only=True, slots=True)
class TrainState:
    """Counters of the whole run, over all attempts. `cursor` is the number of the next group, `validated_step` the
    step of `validation`, `branched_at` the step at which another run was continued (0: none was), `data` the content
    of the rows that the cursor counts in ("": not known), `train_seconds` the time of training that this step contains
    (steps lost and done again count once), `save_cost` the seconds that a save took from training (None: not known).
    """

    step: int = 0
    cursor: int = 0
    tokens: int = 0
    computed_tokens: int = 0
    validation: Validation | None = None
    validated_step: int = 0
    baseline: StyleBaseline | None = None
    branched_at: int = 0
    data: str = ""
    train_seconds: float = 0.0
    save_cost: float | None = None

    def trains_on(self, content: str, path: str) -> None:
        """Note the rows. DataError when they are not those that earlier steps counted in: some would come twice."""
        if self.data and content != self.data:
            raise DataError(
                f"{path}: expected the rows of the first {self.step} steps ({self.data[:12]}...), got other rows "
                f"({content[:12]}...). Put them back, or start a new run with model.init from the last checkpoint"
            )
        self.data = content

    def advance(self, result: StepResult, groups: int) -> None:
        """Count one step."""
        self.step += 1
        self.cursor += groups
        self.tokens += result.tokens
        self.computed_tokens += result.computed_tokens


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
            branched_at=int(saved.get("branchedAt", 0)),
            data=str(saved.get("data", "")),
            train_seconds=float(saved.get("trainSeconds", 0.0)),
            save_cost=None if saved.get("saveCost") is None else float(saved["saveCost"]),
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
            "branchedAt": state.branched_at,
            "data": state.data,
            "trainSeconds": state.train_seconds,
            "saveCost": state.save_cost,
            "styleBaseline": asdict(state.baseline) if state.baseline else None,
            "torch": torch.__version__,
            **({"lossScale": asdict(self.net.scale)} if self.net.scale else {}),
        }


def _read_validation(saved: dict[str, Any] | None) -> Validation | None:
    if not saved:
        return None
    return Validation(seen=Score(**saved["seen"]), unseen=Score(**saved["unseen"]) if saved["unseen"] else None)
