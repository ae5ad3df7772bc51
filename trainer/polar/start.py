"""What an attempt begins with: its own newest checkpoint, another run's, given weights, or a seed."""

from dataclasses import dataclass
from pathlib import Path

from torch.optim import AdamW

from polar.checkpoint import Loaded
from polar.config import Init, RunConfig
from polar.config_runtime import ResumeFrom
from polar.distributed import Dist
from polar.errors import CheckpointError, ConfigError
from polar.fetch import SCHEME, Wanted, fetch_folder, fetch_together, given, load_from_bucket
from polar.manifest import MANIFEST
from polar.model import RewardModel, initial_weights
from polar.parallel import Net, place
from polar.patience import patiently
from polar.plan import ModelDimensions
from polar.pod import pod_of
from polar.remote import remote_of
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
    resumed, branched = _own(config, dist), None
    if resumed is None and config.resume_from:
        branched = _other(config, dist, config.resume_from)
        _check_same_groups(config, branched)
    continued, init = resumed or branched, config.model.init
    weights = of_checkpoint(continued) if continued else None
    if weights is None and init:
        weights = _given(config, dist, init)
    return Start(resumed=resumed, branched=branched, weights=weights)


def _own(config: RunConfig, dist: Dist) -> Loaded | None:
    """The newest good checkpoint of this run, before config.resumeBeforeStep if it is given."""
    remote = remote_of(config.checkpoint)
    if remote is None:
        return load_agreed(Path(config.checkpoint.directory), dist, config.resume_before_step)
    return load_from_bucket(remote, dist, pod_of(config, dist), config.resume_before_step)


def _other(config: RunConfig, dist: Dist, trunk: ResumeFrom) -> Loaded:
    if not trunk.path.startswith(SCHEME):
        return load_together(Path(trunk.path), trunk.manifest_sha256, dist)
    remote, name = given(config, trunk.path)
    wanted = Wanted(name=name, manifest_sha256=trunk.manifest_sha256)
    return fetch_together(remote, wanted, dist, pod_of(config, dist))


def _given(config: RunConfig, dist: Dist, init: Init) -> Weights:
    if not init.path.startswith(SCHEME):
        return open_weights(Path(init.path), init.manifest_sha256)
    remote, name = given(config, init.path)
    pod = pod_of(config, dist)
    if init.manifest_sha256 or patiently(lambda: remote.bucket.exists(f"{name}/{MANIFEST}")):
        wanted = Wanted(name=name, manifest_sha256=init.manifest_sha256, model_only=True)
        return of_checkpoint(fetch_together(remote, wanted, dist, pod))
    return open_weights(fetch_folder(remote, name, dist, pod))


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
