"""The training loop that pre-training and fine-tuning share: step, validate, tell, save, until the budget is spent."""

import math
import time
from dataclasses import dataclass
from pathlib import Path

from polar.config import RunConfig
from polar.distributed import Dist
from polar.errors import Interrupted, NonFiniteLossError
from polar.evaluate import Stopped, never
from polar.exports import export_best
from polar.interval import Interval
from polar.loader import Batch, Loader
from polar.pod import pod_of
from polar.progress import Progress
from polar.remote import remote_of
from polar.replicas import check_replicas
from polar.report import Reporter
from polar.retention import Keep
from polar.saver import Home, Saver
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
        config = self.config
        check_branch(state.branched_at, self.total_steps)
        saves = self.progress.saves = self._saves(state)
        loader = Loader(self._batch, config.optimizer.batch_triplets, state.cursor)
        stragglers = Stragglers(config.gang.processes_per_worker)
        self.progress.slow_ranks = stragglers.slow
        WATCH.limit_to(config.watch.hang_timeout_seconds)
        try:
            if save_first:
                saves.save(state, validated=False)
            stop = state.step < self.total_steps and stopping(self.dist, self.reporter)
            while state.step < self.total_steps and not stop:
                result = self._step(state, loader)
                for line in stragglers.add(result.own_seconds):
                    self.progress.say(line)
                stop = self._after_step(state, result, saves)
        except BaseException:
            WATCH.mark("end")
            saves.close()
            raise
        finally:
            loader.close()
        WATCH.mark("end")
        saves.finish()
        self._after(state, saves)

    def _batch(self, cursor: int) -> Batch:
        return self.stepper.prepare(self.task.train.groups(cursor, self.config.optimizer.batch_triplets))

    def _step(self, state: TrainState, loader: Loader) -> StepResult:
        WATCH.mark("step", state.step + 1)
        batch = next(loader)
        rate = learning_rate(self.config.optimizer, state.step, self.total_steps, state.branched_at)
        try:
            result = self.stepper.step(batch, rate)
        except BadGroups as bad:
            told = bad.explain(state.step + 1, batch.groups, self.task.source, self.task.rows_per_response)
            raise self._again(told) from bad
        state.advance(result, len(batch.groups))
        return result

    def _after_step(self, state: TrainState, result: StepResult, saves: Saves) -> bool:
        """Validate, tell and save as it is time for it; whether all ranks stop."""
        stop, save = self._agree(state, saves)
        usual = state.step % self.config.validation.every_steps == 0
        validate, validated, began = not stop and (save or usual), False, time.monotonic()
        self._compare(state, save or validate)
        if validate:
            validated, stop = self._validate(state)
        seconds = 0.0 if usual else time.monotonic() - began
        saves.count(state)
        self.progress.trained(state, result, validated)
        if save or stop:
            saves.save(state, validated=validated, validation_seconds=seconds)
        news = saves.poll()
        if self.dist.is_main:
            self.progress.checkpoints(news)
        return stop

    def _compare(self, state: TrainState, now: bool) -> None:
        every = self.config.watch.hash_every_steps
        if every and (now or state.step % every == 0):
            check_replicas(self.stepper.model, self.dist, state.step)

    def _agree(self, state: TrainState, saves: Saves) -> tuple[bool, bool]:
        """Whether all ranks stop after this step, and whether they save: one collective for both."""
        if state.step == self.total_steps:
            return False, True
        told = told_to_stop(self.dist, self.reporter)
        stop, due = self.dist.max([int(told), int(saves.due(state, self.dist))])
        return bool(stop), bool(stop or due)

    def _validate(self, state: TrainState) -> tuple[bool, bool]:
        """Score the held-out pairs. Whether that was done, and whether all ranks were told to stop meanwhile.

        After the last step it is always done: nothing would do it later.
        """
        WATCH.mark("validation", state.step)
        last = state.step == self.total_steps
        told = never if last else lambda: stopping(self.dist, self.reporter)
        try:
            state.validation = self.task.validate(self.stepper.net, self.dist, told)
        except Stopped:
            return False, True
        state.validated_step = state.step
        for score in (state.validation.seen, state.validation.unseen):
            if score and not math.isfinite(score.loss):
                raise self._again(f"step {state.step}: the validation loss is not finite. Lower optimizer.learningRate")
        if state.baseline is None and self.dist.is_main:
            WATCH.mark("style baseline", state.step)
            state.baseline = self.task.style_baseline(wait=last)
        return True, told()

    def _again(self, message: str) -> NonFiniteLossError:
        """The error of a loss that is not finite; says when the run went back because of one before."""
        before = self.config.resume_before_step
        second = f". It is the second time: the run went back to before step {before} because of the first"
        return NonFiniteLossError(message + (second if before else ""))

    def _saves(self, state: TrainState) -> Saves:
        options = self.config.checkpoint
        home = Home(
            root=Path(options.directory), remote=remote_of(options), before=self.config.resume_before_step,
            pod=pod_of(self.config, self.dist),
        )
        also = self.reporter.commands
        keep = Keep(
            last=options.keep_last, best=options.keep_best, steps=lambda: {*options.keep_steps, *also().keep_steps},
            tokens=options.keep_tokens,
        )  # fmt: skip
        saver = Saver(home, keep=keep, dist=self.dist, before_commit=self.reporter.sync)
        saver.prepare(self.stepper.model)
        return Saves(saver, self.recorder, Interval(options, state.save_cost), tokens=state.tokens)

    def _after(self, state: TrainState, saves: Saves) -> None:
        if self.dist.is_main:
            self.progress.checkpoints(saves.complete())
        if state.step < self.total_steps:
            reason = self.dist.stop.reason or "another worker was told to stop"
            when = "before another began" if saves.stall is None else "after saving"
            raise Interrupted(f"stopped at step {state.step} of {self.total_steps} {when} ({reason})")
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
