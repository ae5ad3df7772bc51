"""What a run takes, before it starts: memory of each device, steps, FLOPs, disk of a checkpoint.

    python -m polar.estimate --config run.json                                as a table, for this machine
    python -m polar.estimate --config run.json --device "NVIDIA H200" --memory-gib 139 -o json

Without the data the sequences are taken to be as long as the limits allow; --prompt-tokens and --response-tokens give
their mean lengths instead. The trainer does the same with its data before the first step.
"""

import argparse
import json
import math
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from polar.config import RunConfig, load
from polar.errors import ConfigError, PolarError
from polar.flops import Flops, step_flops
from polar.footprint import human, short_count
from polar.memory_limit import device_memory
from polar.peak import peak_flops
from polar.plan import Hardware, Load, ModelDimensions, Plan, arithmetic, make_plan
from polar.weights import open_weights

PAPER_VOCABULARY = 92_544
EXPECTED_UTILISATION = 0.4  # of the devices' peak, for the duration shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """Mean lengths in tokens of a group: what its sequences share and what each candidate adds, and corpus tokens."""

    prefix: int
    branch: int
    candidates: int
    corpus: float

    def flops(self, model: ModelDimensions) -> Flops:
        """FLOPs of one group."""
        return step_flops(model.arch, [self.prefix], [[self.branch] * self.candidates])


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a run takes. `steps` is None when the budget is in epochs and the data is not known."""

    model: ModelDimensions
    plan: Plan
    steps: int | None
    batch: int
    per_group: Flops

    def total(self, each: float) -> float | None:
        """FLOPs of the run from those of a group."""
        return None if self.steps is None else each * self.batch * self.steps

    def line(self) -> str:
        """One line for the log."""
        plan, setting = self.plan, self.plan.setting
        placed = "sharded" if setting.sharded else "a whole copy each"
        flops = self.total(self.per_group.useful)
        return (
            f"estimate: {short_count(self.model.parameters())} parameters, {placed}; {arithmetic(plan)} "
            f"of {human(plan.hardware.memory)}; {_exponent(flops)} useful FLOPs, sharing prefixes saves "
            f"{100 * (1 - 1 / self.per_group.shared_limit):.0f} %; a checkpoint takes {human(plan.checkpoint_bytes)}"
        )


def dimensions_of(config: RunConfig, vocab_size: int | None) -> ModelDimensions:
    """Dimensions from the config, or from the weights it starts from. ConfigError when neither tells."""
    given = config.model.init or config.resume_from
    weights = open_weights(Path(given.path)) if given and Path(given.path).exists() else None
    arch = config.model.architecture or (weights and weights.architecture)
    if not arch:
        raise ConfigError(f"model.architecture: expected dimensions, or weights at {given.path if given else 'init'}")
    tokenizer = config.model.tokenizer
    own = tokenizer.vocab_size if tokenizer else None
    found = vocab_size or own or (weights.vocab_size if weights else PAPER_VOCABULARY)
    return ModelDimensions(arch=arch, vocab_size=found)


def lengths_of(config: RunConfig, prompt: int | None, response: int | None) -> Lengths:
    """Lengths of a group with mean prompt and response lengths, or as long as the limits allow."""
    data = config.data
    candidates = 1 + (data.negatives_per_positive or 1)
    response = data.max_response_length if response is None else response
    responses = 1 if data.reference == "omit" else 2
    prompt = (data.max_length - 4 - responses * response) // responses if prompt is None else prompt
    before = prompt + 1 if data.reference == "omit" else 2 * prompt + response + 2
    corpus = prompt + response * (candidates + responses - 1)
    return Lengths(prefix=before, branch=response + 1, candidates=candidates, corpus=corpus)


def estimate(config: RunConfig, model: ModelDimensions, hardware: Hardware, lengths: Lengths) -> Estimate:
    """The estimate of a run. ConfigError with the arithmetic when it cannot fit."""
    data = config.data
    longest = data.max_length + (lengths.candidates - 1) * data.max_response_length
    plan = make_plan(config.engine, model, hardware, load_of(config, longest, hardware.world_size))
    steps = None if config.budget.epochs else config.total_steps(0, lengths.corpus)
    batch = config.optimizer.batch_triplets
    return Estimate(model=model, plan=plan, steps=steps, batch=batch, per_group=lengths.flops(model))


def load_of(config: RunConfig, longest_group: int, world_size: int) -> Load:
    """Upper bounds of what a process computes, from that of a group."""
    groups, pairs = (math.ceil(n / world_size) for n in (config.optimizer.batch_triplets, config.validation.pairs))
    return Load(longest_group=longest_group, share=groups * longest_group, scored=pairs * longest_group)


def as_document(found: Estimate, device_name: str) -> dict[str, Any]:
    """Everything, in bytes and FLOPs, for JSON."""
    plan = found.plan
    useful = found.total(found.per_group.useful)
    peak = peak_flops(device_name)
    hours = useful / (plan.hardware.world_size * peak * EXPECTED_UTILISATION * 3600) if useful and peak else None
    return {
        "parameters": found.model.parameters(),
        "vocabSize": found.model.vocab_size,
        "processes": plan.hardware.world_size,
        "sharding": "full" if plan.setting.sharded else "none",
        "microBatchTokens": plan.setting.micro_batch_tokens,
        "memoryBytes": {**asdict(plan.footprint), "device": plan.needed, "limit": plan.hardware.memory},
        "checkpointBytes": plan.checkpoint_bytes,
        "steps": found.steps,
        "flops": {
            "useful": useful,
            "unshared": found.total(found.per_group.unshared),
            "naive": found.total(found.per_group.naive),
        },
        "sharingLimit": round(found.per_group.shared_limit, 3),
        "hoursAt40PercentOfPeak": hours,
    }


def _table(document: dict[str, Any]) -> str:
    memory, flops = document["memoryBytes"], document["flops"]
    rows = [
        ("parameters", f"{short_count(document['parameters'])} with a vocabulary of {document['vocabSize']}"),
        ("processes", f"{document['processes']}, sharding {document['sharding']}"),
        ("micro-batch", f"{document['microBatchTokens']} tokens"),
        *((f"  {name}", human(size)) for name, size in memory.items() if name not in ("device", "limit", "saving")),
        ("device memory", f"{human(memory['device'])} of {human(memory['limit'])}"),
        ("host memory while saving", human(memory["saving"])),
        ("checkpoint on disk", human(document["checkpointBytes"])),
        ("steps", document["steps"] if document["steps"] is not None else "known with the data (budget in epochs)"),
        ("FLOPs, useful", _exponent(flops["useful"])),
        ("FLOPs, prefixes not shared", _exponent(flops["unshared"])),
        ("FLOPs, all tokens in all layers", _exponent(flops["naive"])),
        ("largest gain of sharing", f"{document['sharingLimit']}x"),
    ]
    if document["hoursAt40PercentOfPeak"] is not None:
        rows.append(("at 40 % of the peak", f"{document['hoursAt40PercentOfPeak']:.1f} hours"))
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def _exponent(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3g}"


def main(arguments: list[str] | None = None) -> int:
    """Print the estimate of a run config; returns the exit code: that of the error when it is refused."""
    parser = argparse.ArgumentParser(prog="polar.estimate", description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--config", required=True, help="run.json")
    parser.add_argument("--device", help='name of the GPU, such as "NVIDIA H200", or "cpu"; default: this machine')
    parser.add_argument("--memory-gib", type=float, help="memory of each device; default: this machine's")
    parser.add_argument("--vocab-size", type=int, help="tokens of the vocabulary when the config does not tell")
    parser.add_argument("--prompt-tokens", type=int, help="mean tokens of a prompt; default: as many as fit")
    parser.add_argument("--response-tokens", type=int, help="mean tokens of a trajectory; default: the limit")
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    options = parser.parse_args(arguments)
    try:
        config = load(options.config)
        name, hardware = _hardware(config, options.device, options.memory_gib)
        model = dimensions_of(config, options.vocab_size)
        found = estimate(config, model, hardware, lengths_of(config, options.prompt_tokens, options.response_tokens))
    except PolarError as error:
        print(f"{error.reason}: {error}", file=sys.stderr)
        return error.exit_code
    document = as_document(found, name)
    print(json.dumps(document, indent=1) if options.output == "json" else _table(document))
    return 0


def _hardware(config: RunConfig, name: str | None, memory_gib: float | None) -> tuple[str, Hardware]:
    here = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    found = name or (torch.cuda.get_device_name() if here.type == "cuda" else "cpu")
    kind = "cpu" if found == "cpu" else "cuda"
    if memory_gib is None and kind != here.type:
        raise ConfigError(f"--memory-gib: expected the memory of one {found}, which this machine does not have")
    memory = math.floor(memory_gib * 2**30) if memory_gib else device_memory(here, config.gang.processes_per_worker)
    return found, Hardware(device=kind, world_size=config.gang.world_size(), memory=memory)


if __name__ == "__main__":
    sys.exit(main())
