"""What an attempt begins with: its own newest checkpoint, another run's, given weights, or a seed."""

from dataclasses import dataclass
from pathlib import Path

from torch.optim import AdamW

from polar.checkpoint import Loaded
from polar.config import RunConfig
from polar.distributed import Dist
from polar.errors import CheckpointError, ConfigError
from polar.model import RewardModel, initial_weights
from polar.parallel import Net, place
from polar.plan import ModelDimensions
from polar.resume import load_agreed, load_together
from polar.state import TrainState, fill_model, restore
from polar.tokenizer import TextEncoder
from polar.weights import Weights, of_checkpoint, open_weights


@dataclass(kw_only=True, frozen=True, slots=True)
class Start:
    """`resumed` is this run's own newest checkpoint, `branched` one of another run that is continued (resumeFrom).

    `weights` is what weights, tokenizer and architecture come from: one of the two, or model.init, or nothing.
    """

    resumed: Loaded | None
    branched: Loaded | None
    weights: Weights | None

    @property
    def continued(self) -> Loaded | None:
        """The checkpoint that optimizer, place in the data and step come from."""
        return self.resumed or self.branched

    def state(self, net: Net, optimizer: AdamW) -> TrainState:
        """Where training stands; puts a continued checkpoint's weights, optimizer and RNG in place."""
        if self.continued is None:
            return TrainState()
        state = restore(net, optimizer, self.continued)
        if self.branched:
            state.branched_at = state.step
            state.train_seconds = 0.0
        return state


def find_start(config: RunConfig, dist: Dist) -> Start:
    """The newest good checkpoint of this run, else the one it branches from, else the init weights, or nothing.

    Collective. CheckpointError when the one that is wanted is not intact, ConfigError when it belongs to other groups.
    """
    resumed, branched = load_agreed(Path(config.checkpoint.directory), dist), None
    if resumed is None and config.resume_from:
        branched = load_together(Path(config.resume_from.path), config.resume_from.manifest_sha256, dist)
        _check_same_groups(config, branched)
    continued, init = resumed or branched, config.model.init
    weights = of_checkpoint(continued) if continued else None
    if weights is None and init:
        weights = open_weights(Path(init.path), init.manifest_sha256)
    return Start(resumed=resumed, branched=branched, weights=weights)


def _check_same_groups(config: RunConfig, trunk: Loaded) -> None:
    """ConfigError when this run draws or splits its groups otherwise than the run that it continues.

    The place in the data would mean other groups, and prompts held out here were trained on there.
    """
    theirs = trunk.config
    data, held_out, now = theirs["data"], theirs["validation"], config.validation
    for name, own, expected in (
        ("seed", config.seed, theirs["seed"]),
        ("data.pairing", config.data.pairing, data.get("pairing")),
        ("data.negativesPerPositive", config.data.negatives_per_positive, data.get("negativesPerPositive")),
        ("validation.heldOutPromptPercent", now.held_out_prompt_percent, held_out["heldOutPromptPercent"]),
        ("validation.heldOutPolicies", now.held_out_policies, held_out.get("heldOutPolicies", 0)),
    ):
        if own != expected:
            raise ConfigError(f"{name}: expected {expected} as in the run that resumeFrom continues, got {own}")


def dimensions(config: RunConfig, start: Start, encoder: TextEncoder) -> ModelDimensions:
    """Dimensions of the model, from the weights that are started from, else from the config.

    CheckpointError when weights, configured architecture, tokenizer and lengths do not fit together.
    """
    weights, arch = start.weights, config.model.architecture
    if weights is None:
        assert arch is not None
        return ModelDimensions(arch=arch, vocab_size=encoder.vocab_size)
    weights.check_length(config.data.max_length)
    if arch not in (None, weights.architecture):
        raise CheckpointError(f"{weights.where}: expected {arch}, got {weights.architecture}")
    if weights.vocab_size < encoder.vocab_size:
        got = f"the tokenizer has {encoder.vocab_size} tokens, the model only {weights.vocab_size}"
        raise CheckpointError(f"{weights.where}: {got}")
    return ModelDimensions(arch=weights.architecture, vocab_size=weights.vocab_size)


def make_model(config: RunConfig, start: Start, size: ModelDimensions, dist: Dist) -> Net:
    """The model an attempt trains, with its first weights; those of a continued checkpoint come with `Start.state`."""
    net = place(lambda: RewardModel(size.arch, size.vocab_size, config.model.dropout), config.engine, dist)
    if start.continued is None:
        weights = start.weights
        named = weights.tensors() if weights else initial_weights(net.model, config.seed)
        fill_model(net.model, named, weights.where if weights else "initial weights")
    return net
