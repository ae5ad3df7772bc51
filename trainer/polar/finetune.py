"""Fine-tuning of a pre-trained reward model on ranked triplets: reference, chosen, rejected (paper section 3.4, Eq. 8).

    python -m polar.rank polar.finetune --config run.json                       one process
    torchrun --nproc-per-node 8 -m polar.rank polar.finetune --config run.json  one process per GPU, or several on a CPU

Weights, tokenizer and architecture come from config.model.init. Leaves checkpoints `step-.../` and `metrics.jsonl` in
config.checkpoint.directory and continues from the newest one.
"""

from functools import partial
from pathlib import Path
from typing import Any

from polar import distributed
from polar.batches import make_corpus
from polar.config import RunConfig, parse
from polar.config_reader import read_text
from polar.data import Reading, Rows, read_rows_of
from polar.evaluate import PairSet
from polar.loop import Loop, stopping
from polar.model import size_of
from polar.optim import adamw
from polar.pairs import PreferenceTriplets
from polar.pod import pod_of
from polar.preflight import preflight
from polar.progress import Progress, reporting
from polar.row_check import PREFERENCES
from polar.start import dimensions, find_start, make_model
from polar.state import Recorder
from polar.step import Stepper
from polar.store import DataStore
from polar.task import Task
from polar.threads import use_available_cores
from polar.tokenizer import TextEncoder, tokenizer_from_checkpoint


def main(config_path: str, summary: dict[str, Any]) -> None:
    """Train one attempt to its end. `summary` is kept current for the termination message. Raises PolarError."""
    # 1 where: device, rank, seed, threads
    document = read_text(Path(config_path))
    config = parse(document, config_path)
    dist = distributed.setup(config.seed)
    use_available_cores(config.gang.processes_per_worker)
    # 2 start: this run's newest checkpoint, or the pre-trained one
    start = find_start(config, dist)
    assert start.weights
    with reporting(config, dist, start.continued.info.step if start.continued else 0) as reporter:
        progress = Progress(reporter, summary, config, dist)
        progress.found(start)
        # 3 data: rows, tokenizer, tokens, kept on disk beside the checkpoints
        folder, stop = Path(config.checkpoint.directory), partial(stopping, dist, reporter)
        store = DataStore(folder, dist, progress.preparing, stop, pod_of(config, dist))
        data = read_triplets(config, store, progress)
        encoder = tokenizer_from_checkpoint(start.weights.tokenizer_json, start.weights.where)
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
        # 6 no warm start: the weights are trained already
        parent = start.weights.manifest_sha256
        # 7 loop: step, validate, tell, save
        progress.begin(state, total_steps, size_of(net.model))
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
        ).run(state, save_first=False)
        store.remove_all()
    dist.close()


def read_triplets(config: RunConfig, store: DataStore, progress: Progress) -> Rows:
    """The ranked triplets, split, and a line about them."""
    reading = Reading(
        path=config.data.path, kind=PREFERENCES, wrapper=config.data.wrapper, seed=config.seed,
        percent=config.validation.held_out_prompt_percent,
    )  # fmt: skip
    data = read_rows_of(reading, store)
    progress.say(f"{len(data)} triplets on {len(data.prompts)} prompts")
    return data


def make_task(config: RunConfig, data: Rows, encoder: TextEncoder, store: DataStore) -> Task:
    """Training triplets on training prompts, validation triplets on held-out prompts."""
    options = config.data
    corpus = make_corpus(data, encoder, options.limits(), store, reference=options.reference == "include")
    train, validation = (
        PreferenceTriplets(data.prompt, data.parts[part], config.seed, f"{options.path}: {name}")
        for part, name in (("training", "training"), ("seen", "validation"))
    )
    return Task(corpus=corpus, train=train, seen=PairSet(corpus, validation, config.validation.pairs), unseen=None)
