"""The training loop that pre-training and fine-tuning share: step, validate, tell, save, until the budget is spent."""

import math
import time
from dataclasses import dataclass
from pathlib import Path

from polar.checkpoint import list_complete
from polar.config import RunConfig
from polar.distributed import Dist
from polar.errors import Interrupted, NonFiniteLossError
from polar.exports import export_best
from polar.interval import Interval
from polar.loader import Batch, Loader
from polar.progress import Progress
from polar.replicas import check_replicas
from polar.report import Reporter
from polar.saver import Saver
from polar.saves import Saves
from polar.schedule import check_branch, learning_rate
from polar.state import Recorder, TrainState
from polar.step import BadGroups, Stepper, StepResult
from polar.stragglers import Stragglers
from polar.task import Task
from polar.watch import WATCH

EXPORT_BEAT_SECONDS = 5.0


@dataclass(kw_only=True, frozen=True, slots=True)
class Loop:
    """Everything a run trains with."""

    config: RunConfig
    task: Task
    stepper: Stepper
    recorder: Recorder
    reporter: Reporter
    progress: Progress
    dist: Dist
    total_steps: int

    def run(self, state: TrainState, save_first: bool) -> None:
        """Train from `state` to the last step, or until all ranks agree to stop.

        `save_first` saves before the first step (the result of a warm start). Every other checkpoint but one made by a
        stop has a validation loss. Raises Interrupted after saving, NonFiniteLossError, ReplicasDifferError, what
        saving raises, and ConfigError when the run that is continued is already longer than this one.
        """
        config, dist = self.config, self.dist
        check_branch(state.branched_at, self.total_steps)
        saves = self.progress.saves = self._saves(state)
        loader = Loader(self._batch, config.optimizer.batch_triplets, state.cursor)
        stragglers = Stragglers(config.gang.processes_per_worker)
        self.progress.slow_ranks = stragglers.slow
        WATCH.limit_to(config.watch.hang_timeout_seconds)
        try:
            if save_first:
                saves.save(state, validated=False)
            while state.step < self.total_steps:
                result = self._step(state, loader)
                for line in stragglers.add(result.own_seconds):
                    self.progress.say(line)
                stop, save = self._agree(state.step, saves)
                usual = state.step % config.validation.every_steps == 0
                validate = not stop and (save or usual)
                self._compare(state, save)
                seconds = self._validate(state) if validate else 0.0
                saves.count(state)
                self.progress.trained(state, result, validate)
                if save:
                    saves.save(state, validated=validate, validation_seconds=0.0 if usual else seconds)
                news = saves.poll()
                if dist.is_main:
                    self.progress.checkpoints(news)
                if stop:
                    break
        finally:
            WATCH.mark("end")
            loader.close()
            saves.close()
        self._after(state)

    def _batch(self, cursor: int) -> Batch:
        return self.stepper.prepare(self.task.train.groups(cursor, self.config.optimizer.batch_triplets))

    def _step(self, state: TrainState, loader: Loader) -> StepResult:
        WATCH.mark("step", state.step + 1)
        batch = next(loader)
        rate = learning_rate(self.config.optimizer, state.step, self.total_steps, state.branched_at)
        try:
            result = self.stepper.step(batch, rate)
        except BadGroups as bad:
            raise bad.explain(state.step + 1, batch.groups, self.task.source, self.task.rows_per_response) from bad
        state.advance(result, len(batch.groups))
        return result

    def _compare(self, state: TrainState, before_save: bool) -> None:
        every = self.config.watch.hash_every_steps
        if every and (before_save or state.step % every == 0):
            check_replicas(self.stepper.model, self.dist, state.step)

    def _agree(self, step: int, saves: Saves) -> tuple[bool, bool]:
        """Whether all ranks stop after this step, and whether they save: one collective for both."""
        if step == self.total_steps:
            return False, True
        told = told_to_stop(self.dist, self.reporter)
        stop, due = self.dist.max([int(told), int(saves.due(step, self.dist))])
        return bool(stop), bool(stop or due)

    def _validate(self, state: TrainState) -> float:
        """Score the held-out pairs; returns the seconds that took."""
        WATCH.mark("validation", state.step)
        began = time.monotonic()
        state.validation = self.task.validate(self.stepper.net, self.dist)
        state.validated_step = state.step
        for score in (state.validation.seen, state.validation.unseen):
            if score and not math.isfinite(score.loss):
                raise NonFiniteLossError(
                    f"step {state.step}: the validation loss is not finite. Lower optimizer.learningRate"
                )
        if state.baseline is None and self.dist.is_main:
            WATCH.mark("style baseline", state.step)
            state.baseline = self.task.style_baseline(wait=state.step == self.total_steps)
        return time.monotonic() - began

    def _saves(self, state: TrainState) -> Saves:
        options = self.config.checkpoint
        saver = Saver(
            Path(options.directory),
            keep=(options.keep_last, options.keep_best),
            dist=self.dist,
            before_commit=self.reporter.sync,
        )
        saver.prepare(self.stepper.model)
        return Saves(saver, self.recorder, Interval(options, state.save_cost))

    def _after(self, state: TrainState) -> None:
        if self.dist.is_main:
            self.progress.checkpoints(list_complete(Path(self.config.checkpoint.directory)))
        if state.step < self.total_steps:
            reason = self.dist.stop.reason or "another worker was told to stop"
            raise Interrupted(f"stopped at step {state.step} of {self.total_steps} after saving ({reason})")
        self._export()

    def _export(self) -> None:
        """Rank 0 exports. The others, whose wait for it has a limit, hear every few seconds that it goes on."""
        WATCH.mark("export")
        told = time.monotonic()

        def beat() -> None:
            nonlocal told
            WATCH.beat()
            if time.monotonic() - told > EXPORT_BEAT_SECONDS:
                self.dist.any(True)
                told = time.monotonic()

        if self.dist.is_main:
            export_best(self.config, self.progress.say, beat)
        while self.dist.any(False):
            WATCH.beat()


def stopping(dist: Dist, reporter: Reporter) -> bool:
    """Whether any rank was told to stop. Collective; shows that all ranks go on."""
    return dist.any(told_to_stop(dist, reporter))


def told_to_stop(dist: Dist, reporter: Reporter) -> bool:
    """Whether this rank was told to stop, by a signal or by the operator."""
    WATCH.beat()
    if reporter.commands().save_and_stop:
        dist.stop.request("saveAndStop")
    return dist.stop.requested
