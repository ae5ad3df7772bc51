"""What the operator did not hear while the run trained, sent to it afterwards."""

import time
from collections.abc import Sequence

from polar.checkpoint import CheckpointInfo
from polar.config import RunConfig
from polar.errors import ConfigError, PolarError
from polar.gen import telemetry_pb2 as pb
from polar.mailbox import Mailbox
from polar.metrics_log import PointFields
from polar.report import described
from polar.telemetry import Target, TelemetryStream

WAIT_SECONDS = 300.0


def send(config: RunConfig, complete: Sequence[CheckpointInfo], points: Sequence[PointFields] | None) -> None:
    """Sends a run's checkpoints, and its curve and how far it came unless `points` is None.

    ConfigError without an address; PolarError when nobody takes them in.
    """
    told = config.telemetry
    if told is None:
        raise ConfigError("telemetry: expected the address to report to, got none")
    step = max([*(point["step"] for point in points or ()), *(one.step for one in complete)], default=0)
    # Numbered after all that the trainer sent, whose messages are numbered from 1.
    mailbox = Mailbox(config.run.uid, config.run.attempt, step, first_seq=int(time.time()))
    mailbox.add_points([pb.Point(**point) for point in points or ()])
    base = config.checkpoint.uri.split("://")[-1].partition("/")[2]
    progress = None if points is None else _progress(config, points, step)
    mailbox.put(pb.ReportRequest(progress=progress, checkpoints=described(base, complete)), urgent=True)
    target = Target(
        address=told.address, token_path=told.token_path, ca_path=told.ca_path, interval_seconds=told.interval_seconds
    )
    stream = TelemetryStream(target, mailbox, config.run.attempt)
    stream.hurry()
    try:
        if not mailbox.wait_until_empty(WAIT_SECONDS):
            raise PolarError(f"{told.address}: not everything was acknowledged within {WAIT_SECONDS:.0f} s")
    finally:
        stream.close()


def _progress(config: RunConfig, points: Sequence[PointFields], step: int) -> pb.Progress:
    last = points[-1] if points else {"tokens": 0}
    progress = pb.Progress(step=step, tokens=last["tokens"])
    if config.budget.steps is not None:
        progress.total_steps = config.budget.steps
        # Whether a budget of tokens is spent, the operator knows from how the run ended.
        progress.stage = "Done" if step >= config.budget.steps else "Training"
    return progress
