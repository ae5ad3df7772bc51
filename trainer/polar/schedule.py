"""Learning rate as a pure function of the step: linear warmup, then cosine or constant (paper appendix D)."""

import math

from polar.config import Optimizer


def learning_rate(options: Optimizer, step: int, total_steps: int) -> float:
    """Learning rate of step `step` (0-based) of `total_steps`."""
    warmup = math.ceil(total_steps * options.warmup_percent / 100)
    if step < warmup:
        return options.learning_rate * (step + 1) / warmup
    if options.schedule == "constant":
        return options.learning_rate
    floor = options.min_learning_rate_percent / 100
    progress = (step - warmup) / max(1, total_steps - warmup)
    return options.learning_rate * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress)))
