"""What the training loop tells the world: curve points to `metrics.jsonl`, everything to the operator.

Rank 0 reports; on other ranks every call does nothing. No call waits for the network or raises: telemetry that fails
is a line in the log, never a failed run.
"""

import math
import numbers
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from polar.checkpoint import CheckpointInfo
from polar.config import RunConfig
from polar.distributed import Dist
from polar.gen import telemetry_pb2 as pb
from polar.mailbox import Mailbox
from polar.metrics_log import NEWEST, MetricsLog, PointFields
from polar.retention import best_of
from polar.telemetry import Target, TelemetryStream

SHORT_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Score:
    """Loss and accuracy on one fixed set of held-out pairs; the interval is 95 %."""

    pairs: int
    loss: float
    loss_standard_error: float
    accuracy: float
    accuracy_lower: float
    accuracy_upper: float


@dataclass(frozen=True, kw_only=True)
class Commands:
    """What the operator asks of a running attempt; `keep_steps` are checkpoints that other objects refer to."""

    save_and_stop: bool = False
    keep_steps: tuple[int, ...] = ()


class Reporter:
    """Rank 0's reports; make one with `Reporter.start`."""

    def __init__(self, checkpoint_base: str) -> None:
        self._base = checkpoint_base
        self._log: MetricsLog | None = None
        self._mailbox: Mailbox | None = None
        self._stream: TelemetryStream | None = None
        self._said: set[str] = set()

    @classmethod
    def start(cls, config: RunConfig, dist: Dist, resumed_from_step: int = 0) -> "Reporter":
        """Cuts metrics.jsonl back to the resumed step, and opens the stream with that history as its first message.

        Does nothing on ranks other than 0; without `telemetry` in the config points only go to the file.
        """
        reporter = cls(config.checkpoint.uri.split("://")[-1].partition("/")[2])
        if not dist.is_main:
            return reporter
        reporter._guard(lambda: reporter._open_log(config, resumed_from_step))
        if config.telemetry is not None:
            reporter._guard(lambda: reporter._open_stream(config, resumed_from_step))
        return reporter

    def point(
        self, *, step: int, tokens: int, train_loss: float | None = None, val_loss: float | None = None,
        val_accuracy: float | None = None,
    ) -> None:
        """Adds a curve point. Values that are not finite are left out."""
        values = {"train_loss": train_loss, "val_loss": val_loss, "val_accuracy": val_accuracy}
        point: PointFields = {"step": int(step), "tokens": int(tokens), **_finite(values)}
        log, mailbox = self._log, self._mailbox
        if log:
            self._guard(lambda: log.append(point))
        if mailbox:
            self._guard(lambda: mailbox.add_points([pb.Point(**point)]))

    def progress(self, *, stage: str, **values: float | int | None) -> None:
        """Replaces the progress shown; `values` are those of the telemetry message Progress."""
        self._put(lambda: pb.ReportRequest(progress=pb.Progress(stage=stage, **_finite(values))))

    def validation(
        self, *, step: int, seen: Score | None, unseen: Score | None = None, **baselines: float | None
    ) -> None:
        """Replaces the validation result shown; `baselines` are baseline_seen_accuracy and baseline_unseen_accuracy."""
        self._put(lambda: pb.ReportRequest(validation=pb.Validation(
            step=step, seen_policies=_score(seen), unseen_policies=_score(unseen), **_finite(baselines),
        )))

    def checkpoints(self, complete: Sequence[CheckpointInfo]) -> None:
        """Replaces the list of complete checkpoints, oldest first; sent at once."""
        self._put(lambda: pb.ReportRequest(checkpoints=described(self._base, complete)), urgent=True)

    def commands(self) -> Commands:
        """What the operator has asked for so far."""
        if not self._stream:
            return Commands()
        return Commands(save_and_stop=self._stream.stop, keep_steps=tuple(self._stream.command.keep_steps))

    def sync(self) -> None:
        """Makes the points in metrics.jsonl durable. May be called from another thread."""
        if self._log:
            self._guard(self._log.sync)

    def history(self) -> list[PointFields]:
        """All points of the run so far, in the fields of the telemetry message Point."""
        return self._log.read() if self._log else []

    def tail(self, count: int = NEWEST) -> list[dict[str, Any]]:
        """The newest points, at most 40, as the termination message has them."""
        names = {"step": "step", "tokens": "tokens", "train_loss": "trainLoss", "val_loss": "valLoss"}
        newest = list(self._log.newest)[-count:] if self._log else []
        return [{names[key]: value for key, value in one.items() if key in names} for one in newest]

    def finish(self, outcome: str = "Complete", timeout: float = 60.0) -> bool:
        """Sends the final message and waits until all is acknowledged or `timeout` seconds are over. Call it once.

        `outcome` is the attempt's reason (Complete, Interrupted, ...); only Complete marks the message as final, and
        any other waits 10 s at most: the pod may have little time left. Returns whether the operator
        has everything.
        """
        if self._log:
            self._guard(self._log.close)
        if not (self._mailbox and self._stream):
            return True
        self._stream.hurry()
        if outcome == "Complete":
            self._mailbox.put(pb.ReportRequest(final=True))
        self._mailbox.wake()
        started = time.monotonic()
        if outcome != "Complete" or self._stream.rejected:
            timeout = min(timeout, SHORT_TIMEOUT_SECONDS)
        acknowledged = self._mailbox.wait_until_empty(timeout)
        self._stream.close()
        if not acknowledged:
            self._say(f"telemetry: not everything was acknowledged within {time.monotonic() - started:.0f} s; "
                      "the termination message and metrics.jsonl have the rest")
        return acknowledged

    def _open_log(self, config: RunConfig, resumed_from_step: int) -> None:
        self._log = MetricsLog(Path(config.checkpoint.directory), resumed_from_step)

    def _open_stream(self, config: RunConfig, resumed_from_step: int) -> None:
        assert config.telemetry is not None
        mailbox = Mailbox(config.run.uid, config.run.attempt, resumed_from_step)
        mailbox.add_points([pb.Point(**point) for point in self.history()])
        mailbox.put(pb.ReportRequest(progress=pb.Progress(stage="Starting", step=resumed_from_step)), urgent=True)
        target = Target(
            address=config.telemetry.address, token_path=config.telemetry.token_path, ca_path=config.telemetry.ca_path,
            interval_seconds=config.telemetry.interval_seconds,
        )
        self._mailbox, self._stream = mailbox, TelemetryStream(target, mailbox, config.run.attempt)

    def _put(self, make: Callable[[], pb.ReportRequest], *, urgent: bool = False) -> None:
        mailbox = self._mailbox
        if mailbox:
            self._guard(lambda: mailbox.put(make(), urgent=urgent))

    def _guard(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:
            self._say(f"report: {type(error).__name__}: {error}")

    def _say(self, line: str) -> None:
        if line not in self._said:
            self._said.add(line)
            print(line, file=sys.stderr, flush=True)


def described(base: str, complete: Sequence[CheckpointInfo]) -> pb.Checkpoints:
    """Complete checkpoints, oldest first, as the operator takes them; `base` is their folder in the store."""
    best = best_of(list(complete))
    items = [
        pb.Checkpoint(
            step=one.step, path=f"{base}/{one.name}", manifest_sha256=one.manifest_sha256, val_loss=one.val_loss,
            tokens=one.tokens, completed_at=one.completed_at,
        )
        for one in complete
    ]  # fmt: skip
    return pb.Checkpoints(items=items, best_step=best.step if best else 0)


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    """The values that are finite numbers, as Python's own int and float."""
    finite = {key: value for key, value in values.items() if value is not None and math.isfinite(value)}
    return {key: int(value) if isinstance(value, numbers.Integral) else float(value) for key, value in finite.items()}


def _score(score: Score | None) -> pb.Score | None:
    if score is None:
        return None
    return pb.Score(**_finite({field.name: getattr(score, field.name) for field in fields(Score)}))
