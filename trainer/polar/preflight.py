"""The last look before training: does the run fit the devices it has, with the data it has?"""

from dataclasses import replace

import numpy as np

from polar.batches import COSTS, Corpus
from polar.config import RunConfig
from polar.distributed import Dist
from polar.errors import ConfigError
from polar.estimate import Estimate, load_of
from polar.flops import Flops, step_flops
from polar.footprint import human
from polar.memory_limit import device_memory, host_memory
from polar.packing import pack
from polar.plan import Hardware, ModelDimensions, Plan, make_plan
from polar.task import Task

SAMPLE = 128  # groups whose lengths stand for all


def preflight(config: RunConfig, task: Task, model: ModelDimensions, dist: Dist) -> tuple[Estimate, RunConfig]:
    """The estimate of a run with its data, and the config with sharding decided. Collective.

    ConfigError with the arithmetic when it cannot fit the smallest device of all ranks.
    """
    memory = -dist.max([-device_memory(dist.device, config.gang.processes_per_worker)])[0]
    hardware = Hardware(device=dist.device.type, world_size=dist.world_size, memory=memory)
    candidates = task.train.groups(0, 1).candidates.shape[1]
    load = load_of(config, longest_group(task.corpus, candidates), dist.world_size)
    plan = make_plan(config.engine, model, hardware, load)
    if dist.device.type == "cuda":
        check_host(plan, config.gang.processes_per_worker, host_memory())
    found = Estimate(
        model=model,
        plan=plan,
        steps=task.total_steps(config),
        batch=config.optimizer.batch_triplets,
        per_group=_mean_flops(task, model),
    )
    return found, replace(config, engine=plan.engine(config.engine))


def check_host(plan: Plan, processes: int, memory: int) -> None:
    """ConfigError unless the host has memory for the copies that the processes of a worker keep for saving."""
    needed = plan.footprint.saving * (processes if plan.setting.sharded else 1)
    if needed > memory:
        raise ConfigError(
            f"checkpoint: copies for saving need {human(needed)} of the host's memory in each worker, which has "
            f"{human(memory)}: raise workers.resources.limits.memory, or use more workers with engine.sharding full"
        )


def longest_group(corpus: Corpus, candidates: int) -> int:
    """Upper bound of a group's tokens, from the longest prompt and response and the limits."""
    prompt, response = (int(corpus.spans[:, column].max()) for column in (COSTS, COSTS + 1))
    sequence = min(corpus.limits.max_length, 2 * (prompt + response) + 2)
    return sequence + (candidates - 1) * (response + 1)


def _mean_flops(task: Task, model: ModelDimensions) -> Flops:
    """FLOPs of a group, the mean of the first ones."""
    groups = task.train.groups(0, min(SAMPLE, task.train.size))
    layout = pack(task.corpus.encode_all(groups), np.arange(len(groups))).layout
    whole = step_flops(model.arch, layout.prefix, layout.branch)
    return Flops(*(part / len(groups) for part in (whole.useful, whole.unshared, whole.naive)))
