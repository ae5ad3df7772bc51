"""The run config: the one JSON document that the operator writes for an attempt. Unknown and missing keys are errors.

Keys are camelCase in JSON and snake_case here; decimals are strings in JSON. The same fields are declared for users in
`operator/src/api` (`run_config.schema.json` is generated from there and the tests compare the two).
"""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from polar.config_reader import need, read_object, read_text
from polar.config_runtime import Checkpoint, Engine, Export, Gang, ResumeFrom, Run, Telemetry, Watch
from polar.encode import Limits, Wrapper
from polar.errors import ConfigError


@dataclass(kw_only=True, frozen=True, slots=True)
class Architecture:
    """Dimensions of an InternLM2 / Llama decoder; the vocabulary comes from the tokenizer."""

    hidden_size: int
    num_layers: int
    num_heads: int
    num_key_value_heads: int
    intermediate_size: int
    rope_theta: int

    def __post_init__(self) -> None:
        for key, value in (
            ("numLayers", self.num_layers),
            ("numHeads", self.num_heads),
            ("ropeTheta", self.rope_theta),
        ):
            need(value >= 1, key, "at least 1", value)
        need(self.intermediate_size >= 8, "intermediateSize", "at least 8", self.intermediate_size)
        need(self.num_key_value_heads >= 1, "numKeyValueHeads", "at least 1", self.num_key_value_heads)
        even = self.hidden_size >= 8 and self.hidden_size % (2 * self.num_heads) == 0
        need(even, "hiddenSize", f"a multiple of 2 * numHeads = {2 * self.num_heads}", self.hidden_size)
        divides = self.num_heads % self.num_key_value_heads == 0
        need(divides, "numKeyValueHeads", f"a divisor of numHeads = {self.num_heads}", self.num_key_value_heads)

    def head_size(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.num_heads


@dataclass(kw_only=True, frozen=True, slots=True)
class TokenizerSource:
    """A Hugging Face folder, or the size of a vocabulary trained on the corpus."""

    vocab_size: int | None = None
    path: str | None = None

    def __post_init__(self) -> None:
        one = (self.vocab_size is None) != (self.path is None)
        need(one, "vocabSize", "exactly one of vocabSize and path", "both" if self.path else "neither")
        need(self.vocab_size is None or self.vocab_size >= 300, "vocabSize", "at least 300", self.vocab_size)


@dataclass(kw_only=True, frozen=True, slots=True)
class Init:
    """Weights to start from: a checkpoint directory or a Hugging Face folder.

    The manifest of a checkpoint is verified against the hash when one is given.
    """

    path: str
    manifest_sha256: str | None = None


@dataclass(kw_only=True, frozen=True, slots=True)
class Model:
    """What is trained. Architecture and tokenizer come from `init` where they are not given."""

    dropout: float
    architecture: Architecture | None = None
    tokenizer: TokenizerSource | None = None
    init: Init | None = None

    def __post_init__(self) -> None:
        need(0 <= self.dropout <= 0.9, "dropout", "0 to 0.9", self.dropout)


@dataclass(kw_only=True, frozen=True, slots=True)
class Data:
    """Where the rows are and how sequences are made of them. Lengths in tokens."""

    path: str
    wrapper: Wrapper
    max_length: int
    max_response_length: int
    pairing: Literal["samePrompt", "crossPrompt"] | None = None
    negatives_per_positive: int | None = None
    reference: Literal["include", "omit"] = "include"
    response_cut_side: Literal["right", "left"] = "right"
    empty_response: Literal["newline", "omit"] = "newline"

    def __post_init__(self) -> None:
        need(self.max_response_length >= 4, "maxResponseLength", "at least 4", self.max_response_length)
        responses = 1 if self.reference == "omit" else 2
        least = responses * self.max_response_length + 8
        wanted = f"at least {responses} * maxResponseLength + 8 = {least}"
        need(self.max_length >= least, "maxLength", wanted, self.max_length)
        negatives = self.negatives_per_positive
        need(negatives is None or negatives >= 1, "negativesPerPositive", "at least 1", negatives)

    def limits(self) -> Limits:
        """Limits for the encoder."""
        return Limits(
            max_length=self.max_length,
            max_response_length=self.max_response_length,
            cut_side=self.response_cut_side,
            empty_response=self.empty_response,
        )


@dataclass(kw_only=True, frozen=True, slots=True)
class Budget:
    """When training ends: steps, or corpus tokens (prompt once, each trajectory once), or passes over the data."""

    steps: int | None = None
    tokens: int | None = None
    epochs: int | None = None

    def __post_init__(self) -> None:
        given = {
            k: v for k, v in (("steps", self.steps), ("tokens", self.tokens), ("epochs", self.epochs)) if v is not None
        }
        need(len(given) == 1, "steps", "exactly one of steps, tokens and epochs", " and ".join(given) or "none")
        for key, value in given.items():
            need(value >= 1, key, "at least 1", value)


@dataclass(kw_only=True, frozen=True, slots=True)
class Optimizer:
    """AdamW and its schedule. A group is a reference with its candidates; batches count the groups of all workers."""

    learning_rate: float
    batch_triplets: int
    schedule: Literal["cosine", "constant", "wsd"]
    warmup_percent: int
    min_learning_rate_percent: int
    weight_decay: float
    beta1: float
    beta2: float
    gradient_clip: float
    cooldown_percent: int = 20

    def __post_init__(self) -> None:
        need(0 < self.learning_rate <= 1, "learningRate", "above 0 and at most 1", self.learning_rate)
        need(self.batch_triplets >= 1, "batchTriplets", "at least 1", self.batch_triplets)
        for key, percent in (
            ("warmupPercent", self.warmup_percent),
            ("minLearningRatePercent", self.min_learning_rate_percent),
            ("cooldownPercent", self.cooldown_percent),
        ):
            need(0 <= percent <= 100, key, "0 to 100", percent)
        room = self.schedule != "wsd" or self.warmup_percent + self.cooldown_percent <= 100
        most = f"at most 100 - warmupPercent = {100 - self.warmup_percent}"
        need(room, "cooldownPercent", most, self.cooldown_percent)
        for key, beta in (("beta1", self.beta1), ("beta2", self.beta2)):
            need(0 <= beta < 1, key, "at least 0 and below 1", beta)
        need(0 <= self.weight_decay <= 1, "weightDecay", "0 to 1", self.weight_decay)


@dataclass(kw_only=True, frozen=True, slots=True)
class PolicyClassification:
    """Steps that teach the backbone to tell which policy wrote a trajectory."""

    steps: int
    batch_trajectories: int
    learning_rate: float

    def __post_init__(self) -> None:
        need(self.steps >= 1, "steps", "at least 1", self.steps)
        need(self.batch_trajectories >= 1, "batchTrajectories", "at least 1", self.batch_trajectories)
        need(0 < self.learning_rate <= 1, "learningRate", "above 0 and at most 1", self.learning_rate)


@dataclass(kw_only=True, frozen=True, slots=True)
class WarmStart:
    """Training before pre-training. Not part of the paper."""

    policy_classification: PolicyClassification


@dataclass(kw_only=True, frozen=True, slots=True)
class Validation:
    """What is held out and how often it is scored."""

    every_steps: int
    pairs: int
    held_out_prompt_percent: int
    held_out_policies: int = 0

    def __post_init__(self) -> None:
        need(self.every_steps >= 1, "everySteps", "at least 1", self.every_steps)
        need(self.pairs >= 1, "pairs", "at least 1", self.pairs)
        need(1 <= self.held_out_prompt_percent <= 90, "heldOutPromptPercent", "1 to 90", self.held_out_prompt_percent)
        enough = self.held_out_policies >= 0 and self.held_out_policies != 1
        need(enough, "heldOutPolicies", "0 or at least 2 (a pair needs two policies)", self.held_out_policies)


@dataclass(kw_only=True, frozen=True, slots=True)
class RunConfig:
    """Everything an attempt needs to know."""

    api_version: Literal["polar.training/v1alpha1"]
    kind: Literal["PolarPretrain", "PolarFinetune"]
    run: Run
    gang: Gang
    seed: int
    model: Model
    data: Data
    budget: Budget
    optimizer: Optimizer
    validation: Validation
    checkpoint: Checkpoint
    telemetry: Telemetry | None = None
    warm_start: WarmStart | None = None
    engine: Engine = field(default_factory=Engine)
    resume_from: ResumeFrom | None = None
    watch: Watch = field(default_factory=Watch)
    export: Export = field(default_factory=Export)
    resume_before_step: int | None = None

    def __post_init__(self) -> None:
        need(self.seed >= 0, "seed", "at least 0", self.seed)
        world = self.gang.world_size()
        enough = self.optimizer.batch_triplets >= world
        need(enough, "optimizer.batchTriplets", f"at least one per process ({world})", self.optimizer.batch_triplets)
        if self.kind == "PolarPretrain":
            self._check_pretrain()
        else:
            self._check_finetune()

    def _check_pretrain(self) -> None:
        need(self.data.pairing is not None, "data.pairing", "samePrompt or crossPrompt", "none")
        need(self.data.negatives_per_positive is not None, "data.negativesPerPositive", "a whole number", "none")
        given = self.model.init is not None or self.resume_from is not None
        sized = given or self.model.architecture is not None
        need(sized, "model.architecture", "the dimensions of the model, or weights in model.init", "none")
        source = given or self.model.tokenizer is not None
        need(source, "model.tokenizer", "vocabSize or path, or weights in model.init", "none")
        if self.resume_from is not None:
            need(self.model.init is None, "model.init", "nothing: resumeFrom brings the weights", "weights")
            need(self.warm_start is None, "warmStart", "nothing: resumeFrom continues after it", "a warm start")

    def _check_finetune(self) -> None:
        need(self.model.init is not None, "model.init", "the checkpoint to start from", "none")
        need(self.warm_start is None, "warmStart", "nothing: only PolarPretrain has a warm start", "a warm start")
        fresh = self.resume_from is None
        need(fresh, "resumeFrom", "nothing: only PolarPretrain continues another run", "a checkpoint")
        for key, value in (("pairing", self.data.pairing), ("negativesPerPositive", self.data.negatives_per_positive)):
            need(value is None, f"data.{key}", "nothing: triplets are ranked already", value)

    def total_steps(self, groups_per_epoch: int, tokens_per_group: float) -> int:
        """Optimizer steps of the budget: tokens and epochs are rounded up to whole batches."""
        batch, budget = self.optimizer.batch_triplets, self.budget
        if budget.steps is not None:
            return budget.steps
        if budget.epochs is not None:
            return math.ceil(budget.epochs * groups_per_epoch / batch)
        assert budget.tokens is not None
        return math.ceil(budget.tokens / (batch * tokens_per_group))


def load(path: str | Path) -> RunConfig:
    """Read a run config file. ConfigError names the key, what was expected and what was got."""
    return parse(read_text(Path(path)), str(path))


def parse(document: Any, source: str = "run config") -> RunConfig:
    """A run config from parsed JSON. ConfigError names the key, what was expected and what was got."""
    if not isinstance(document, dict):
        raise ConfigError(f"{source}: expected an object, got {type(document).__name__}")
    return read_object(RunConfig, document, "")
