"""What people see of a run: a line per logged step, the reporter's messages, the termination message's summary."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from polar.checkpoint import CheckpointInfo
from polar.config import RunConfig
from polar.distributed import Dist
from polar.errors import PolarError
from polar.model import ModelSize
from polar.peak import device_peak
from polar.report import Reporter
from polar.retention import best_of
from polar.saves import Saves
from polar.start import Start
from polar.state import TrainState
from polar.step import StepResult
from polar.warmstart import WarmStep

RATE_WEIGHT = 0.1  # of the newest step in the tokens per second and the share of waiting shown
LINES = 100  # log lines of a whole run, besides validations


class Progress:
    """Tells about steps as they end. On ranks other than 0 nothing is printed or sent."""

    def __init__(self, reporter: Reporter, summary: dict[str, Any], config: RunConfig, dist: Dist) -> None:
        self._reporter, self._summary, self._dist = reporter, summary, dist
        self._base = config.checkpoint.uri.split("://")[-1].partition("/")[2]
        self.total_steps, self.size = 0, ModelSize(0, 0)
        self._started, self._first_step, self._rate, self._wait = time.monotonic(), 0, 0.0, 0.0
        self._peak, self._flops = device_peak(dist.device), 0.0
        self.slow_ranks: dict[int, float] = {}
        self.saves: Saves | None = None

    def found(self, start: Start) -> None:
        """Say what the attempt continues from, and which damaged checkpoints were passed over."""
        for problem in start.resumed.problems if start.resumed else ():
            self.say(f"passed over a damaged checkpoint: {problem}")
        before = start.continued.world_size if start.continued else self._dist.world_size
        if before != self._dist.world_size:
            self.say(f"{self._dist.world_size} processes now, {before} before: not bit for bit the uninterrupted run")
        if start.weights:
            self.say(f"{'continuing' if start.continued else 'starting'} from {start.weights.where}")

    def preparing(self, line: str) -> None:
        """Say how far preparing the data is; the operator hears that the run is alive."""
        self.say(line)
        self._reporter.progress(stage="Starting", step=0)

    def begin(self, state: TrainState, total_steps: int, size: ModelSize) -> None:
        """Say where training starts; rates are measured from here."""
        self.total_steps, self.size = total_steps, size
        self._started, self._first_step = time.monotonic(), state.step
        self._summary.update(
            step=state.step, resumedFromStep=state.step, totalSteps=total_steps, tokens=state.tokens,
        )  # fmt: skip
        self._send(state, "Training" if state.step < total_steps else "Done", None)
        self._send_validation(state)

    def warm_step(self, done: WarmStep, total: int) -> None:
        """Tell about a step of the warm start."""
        if done.step % max(1, total // 20) == 0 or done.step == total:
            self.say(f"warm start {done.step}/{total}  loss {done.loss:.4f}  accuracy {done.accuracy:.3f}")
        self._reporter.progress(
            stage="WarmStart", step=done.step, total_steps=total, train_loss=done.loss, train_accuracy=done.accuracy
        )

    def trained(self, state: TrainState, result: StepResult, validated: bool) -> None:
        """Tell about a step of training, and about its validation if there was one."""
        now = result.tokens / max(1e-9, result.seconds)
        self._rate = now if self._rate == 0 else self._rate + RATE_WEIGHT * (now - self._rate)
        self._wait += RATE_WEIGHT * (result.wait_seconds / max(1e-9, result.seconds) - self._wait)
        flops = result.useful_flops / max(1e-9, result.seconds)
        self._flops = flops if self._flops == 0 else self._flops + RATE_WEIGHT * (flops - self._flops)
        seen = state.validation.seen if state.validation and validated else None
        self._summary.update(step=state.step, tokens=state.tokens, trainLoss=result.loss)
        self._reporter.point(
            step=state.step,
            tokens=state.tokens,
            train_loss=result.loss,
            val_loss=seen.loss if seen else None,
            val_accuracy=seen.accuracy if seen else None,
        )
        self._send(state, "Training" if state.step < self.total_steps else "Done", result)
        if validated:
            self._send_validation(state)
        self._summary["tail"] = self._reporter.tail()
        if validated or state.step % max(1, self.total_steps // LINES) == 0:
            self._print(state, result, validated)

    def checkpoints(self, complete: list[CheckpointInfo] | None) -> None:
        """Tell which checkpoints there are, when that changed."""
        if not complete:
            return
        self._reporter.checkpoints(complete)
        best = best_of(complete)
        self._summary.update(latest=self._reference(complete[-1]), best=self._reference(best) if best else None)

    def say(self, line: str) -> None:
        """Print on rank 0."""
        if self._dist.is_main:
            print(line, flush=True)

    def _send(self, state: TrainState, stage: str, result: StepResult | None) -> None:
        elapsed = max(1e-9, time.monotonic() - self._started)
        done = state.step - self._first_step
        eta = elapsed / done * (self.total_steps - state.step) if done else 0
        self._reporter.progress(
            stage=stage,
            step=state.step,
            total_steps=self.total_steps,
            tokens=state.tokens,
            computed_tokens=state.computed_tokens,
            flops=self.size.flops(state.computed_tokens),
            parameters=self.size.parameters,
            parameters_without_embedding=self.size.without_embedding,
            train_loss=result.loss if result else None,
            train_accuracy=result.accuracy if result else None,
            tokens_per_second=self._rate,
            eta_seconds=round(eta),
            mfu=self._mfu() if result else None,
            data_wait_share=min(1.0, self._wait) if result else None,
            straggler_rank=max(self.slow_ranks, key=self.slow_ranks.__getitem__, default=None),
            train_seconds=state.train_seconds,
            save_seconds=self.saves.stall if self.saves else None,
            checkpoint_every_seconds=self.saves.interval.seconds if self.saves else None,
        )

    def _mfu(self) -> float | None:
        """Share of the devices' peak that useful FLOPs take."""
        return self._flops / (self._dist.world_size * self._peak) if self._peak else None

    def _send_validation(self, state: TrainState) -> None:
        if not state.validation:
            return
        seen, baseline = state.validation.seen, state.baseline
        self._summary.update(valLoss=seen.loss, valAccuracy=seen.accuracy)
        self._reporter.validation(
            step=state.validated_step,
            seen=seen,
            unseen=state.validation.unseen,
            baseline_seen_accuracy=baseline.seen if baseline else None,
            baseline_unseen_accuracy=baseline.unseen if baseline else None,
        )

    def _print(self, state: TrainState, result: StepResult, validated: bool) -> None:
        line = (
            f"step {state.step}/{self.total_steps}  loss {result.loss:.4f}  accuracy {result.accuracy:.3f}  "
            f"norm {result.gradient_norm:.2f}  tokens {state.tokens}  {self._rate:.0f} tokens/s  "
            f"waited {100 * self._wait:.1f} %"
        )
        mfu = self._mfu()
        line += "" if mfu is None else f"  mfu {100 * mfu:.1f} %"
        if validated and state.validation:
            for name, score in (("seen", state.validation.seen), ("unseen", state.validation.unseen)):
                if score:
                    line += f"  {name}: loss {score.loss:.4f} accuracy {score.accuracy:.3f} "
                    line += f"[{score.accuracy_lower:.3f}, {score.accuracy_upper:.3f}] n {score.pairs}"
            line += f"  style baseline {state.baseline.seen:.3f}" if state.baseline else ""
        self.say(line)

    def _reference(self, one: CheckpointInfo) -> dict[str, Any]:
        path = f"{self._base}/{one.name}"
        return {"step": one.step, "path": path, "manifestSha256": one.manifest_sha256, "valLoss": one.val_loss}


@contextmanager
def reporting(config: RunConfig, dist: Dist, resumed_from_step: int) -> Iterator[Reporter]:
    """A reporter that always says how the attempt ended."""
    reporter = Reporter.start(config, dist, resumed_from_step)
    outcome = "Crashed"
    try:
        yield reporter
        outcome = "Complete"
    except PolarError as error:
        outcome = error.reason
        raise
    finally:
        reporter.finish(outcome)
