"""Learning rate as a pure function of the step: linear warmup, then cosine (paper appendix D), constant or wsd.

wsd (warmup, stable, decay) is constant until its cooldown, the last `cooldown_percent` of the steps, in which the rate
falls by 1 - sqrt(share of the cooldown that is over) to the floor (arXiv 2405.18392). One long trunk and a short
cooldown from each of several of its checkpoints give the losses of as many whole runs.
"""

import math

from polar.config import Optimizer
from polar.errors import ConfigError


def learning_rate(options: Optimizer, step: int, total_steps: int, branched_at: int = 0) -> float:
    """Learning rate of step `step` (0-based) of `total_steps`.

    `branched_at` is the step of the checkpoint of another run that this run continues, 0 for none: steps count from
    the start of that run, whose warmup is over, and a cooldown begins no earlier than the branch.
    """
    warmup = math.ceil(total_steps * options.warmup_percent / 100)
    if step < warmup and not branched_at:
        return options.learning_rate * (step + 1) / warmup
    if options.schedule == "constant":
        return options.learning_rate
    floor = options.min_learning_rate_percent / 100
    if options.schedule == "wsd":
        begin = max(cooldown_start(options, total_steps), branched_at)
        falls = 1 - math.sqrt(max(0, step - begin) / max(1, total_steps - begin))
    else:
        progress = (step - warmup) / max(1, total_steps - warmup)
        falls = 0.5 * (1 + math.cos(math.pi * progress))
    return options.learning_rate * (floor + (1 - floor) * falls)


def cooldown_start(options: Optimizer, total_steps: int) -> int:
    """First step (0-based) of the cooldown of the schedule wsd."""
    return total_steps - math.floor(total_steps * options.cooldown_percent / 100)


def check_branch(branched_at: int, total_steps: int) -> None:
    """ConfigError unless steps are left after the step at which another run is continued."""
    if branched_at and branched_at >= total_steps:
        raise ConfigError(
            f"budget: expected more than the {branched_at} steps that resumeFrom has done already, got {total_steps}: "
            "it counts from the beginning of that run"
        )
