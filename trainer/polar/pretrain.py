"""Contrastive pre-training of a reward model on a policy pool's trajectories (paper sections 3.3 and 4.1, Eq. 7).

    python -m polar.rank polar.pretrain --config run.json                       one process
    torchrun --nproc-per-node 8 -m polar.rank polar.pretrain --config run.json  one process per GPU, or several on a CPU

Leaves checkpoints `step-.../` and `metrics.jsonl` in config.checkpoint.directory and continues from the newest one.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from polar import distributed
from polar.config import RunConfig, parse
from polar.config_reader import read_text
from polar.errors import Interrupted
from polar.loop import Loop, stopping
from polar.model import size_of
from polar.optim import adamw
from polar.pod import pod_of
from polar.pool import make_task, read_pool
from polar.preflight import preflight
from polar.progress import Progress, reporting
from polar.start import dimensions, find_start, make_model
from polar.state import Recorder
from polar.step import Stepper
from polar.store import DataStore
from polar.threads import use_available_cores
from polar.vocabulary import make_encoder
from polar.warmstart import WarmStart
from polar.watch import WATCH


def main(config_path: str, summary: dict[str, Any]) -> None:
    """Train one attempt to its end. `summary` is kept current for the termination message. Raises PolarError."""
    # 1 where: device, rank, seed, threads
    document = read_text(Path(config_path))
    config = parse(document, config_path)
    dist = distributed.setup(config.seed)
    use_available_cores(config.gang.processes_per_worker)
    # 2 start: this run's newest checkpoint, or given weights, or nothing
    start = find_start(config, dist)
    with reporting(config, dist, start.continued.info.step if start.continued else 0) as reporter:
        progress = Progress(reporter, summary, config, dist)
        progress.found(start)
        # 3 data: rows, tokenizer, tokens, kept on disk beside the checkpoints
        folder, stop = Path(config.checkpoint.directory), partial(stopping, dist, reporter)
        store = DataStore(folder, dist, progress.preparing, stop, pod_of(config, dist))
        data = read_pool(config, store, progress)
        encoder = make_encoder(config, start, data, dist)
        task = make_task(config, data, encoder, store)
        store.remove_stale()
        # 4 memory, model, optimizer, schedule
        size = dimensions(config, start, encoder)
        fit, config = preflight(config, task, size, dist)
        progress.say(fit.line())
        net = make_model(config, start, size, dist)
        optimizer = adamw(net.model, config.optimizer)
        total_steps = fit.steps
        assert total_steps is not None
        # 5 resume
        state = start.state(net, optimizer)
        state.trains_on(data.content, config.data.path)
        # 6 warm start, when asked for and not done yet
        warm = config.warm_start is not None and start.continued is None
        if warm:
            first = WarmStart(net, task.corpus, dist)
            first.most_tokens = fit.plan.setting.micro_batch_tokens
            warm_start(config, first, progress, lambda: stopping(dist, reporter))
        # 7 loop: step, validate, tell, save
        progress.begin(state, total_steps, size_of(net.model))
        parent = start.weights.manifest_sha256 if start.weights else None
        stepper = Stepper(net, optimizer, config.optimizer, task.corpus, dist)
        stepper.most_tokens = fit.plan.setting.micro_batch_tokens
        Loop(
            config=config,
            task=task,
            stepper=stepper,
            recorder=Recorder(
                document=document, net=net, optimizer=optimizer, encoder=encoder, dist=dist, parent=parent
            ),
            reporter=reporter,
            progress=progress,
            dist=dist,
            total_steps=total_steps,
        ).run(state, save_first=warm)
        store.remove_all()
    dist.close()


def warm_start(config: RunConfig, warm: WarmStart, progress: Progress, stop: Callable[[], bool]) -> None:
    """Run the warm start to its end; Interrupted when told to stop, and then the next attempt begins it again."""
    assert config.warm_start
    task = config.warm_start.policy_classification
    WATCH.limit_to(config.watch.hang_timeout_seconds)
    for done in warm.run(task, config.optimizer, config.seed):
        progress.warm_step(done, task.steps)
        if stop():
            raise Interrupted(f"stopped in step {done.step} of {task.steps} of the warm start, which will be repeated")
        WATCH.mark("warm start", done.step + 1)
