"""Looks after the checkpoints of a run that has no workers:

    python -m polar.registry TASK --config run.json [--json]

list     what there is: step, validation loss, whether all files are there
verify   reads and hashes everything
gc       removes what keepLast, keepBest, keepSteps and keepTokens do not keep, never the newest that verifies; tells
         what is left
report   sends curve and checkpoints to the operator, as the trainer would have
delete   removes the run's folder, or all below its prefix in the bucket; can be repeated

Prints one line for each checkpoint, ends with one that says what was done, which is also the termination message.
Exit codes are those of polar.errors: 12 when a checkpoint is damaged (verify) or none verifies (gc).
"""

import argparse
import contextlib
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import NoReturn

from polar import config as configs
from polar import termination
from polar.checkpoint import CheckpointInfo
from polar.config import RunConfig
from polar.errors import CheckpointError
from polar.registry_place import Place, place_of
from polar.registry_report import send
from polar.result import Result, explain
from polar.retention import Keep


@dataclass(frozen=True, kw_only=True)
class Row:
    """What is told of a checkpoint; `state` is complete, verified, removed or damaged."""

    name: str
    state: str
    step: int | None = None
    valLoss: float | None = None
    tokens: int | None = None
    completedAt: str | None = None
    manifestSha256: str | None = None
    problem: str | None = None


Print = Callable[[Row], None]


def list_all(_config: RunConfig, place: Place, show: Print) -> str:
    """Every checkpoint, by what its manifest says and which files are there."""
    rows = [_row(place, name, deep=False) for name in place.names()]
    for row in rows:
        show(row)
    return f"{_counted(len(rows))} in {place.where}"


def verify(_config: RunConfig, place: Place, show: Print) -> str:
    """Every checkpoint, read and hashed. CheckpointError when one is damaged."""
    names, problems = place.names(), []
    for name in names:
        row = _row(place, name, deep=True)
        show(row)
        problems += [row.problem] if row.problem else []
    if problems:
        raise CheckpointError(f"{len(problems)} of {_counted(len(names))} damaged: {'; '.join(problems)}")
    return f"{_counted(len(names))} verified in {place.where}"


def collect(config: RunConfig, place: Place, show: Print) -> str:
    """Remove what the run's retention does not keep, once one that is kept has been verified."""
    place.clean()
    names, options = place.names(), config.checkpoint
    found = _whole(place, names)
    good = _newest_good(place, found)
    if names and good is None:
        raise CheckpointError(f"none of {_counted(len(names))} in {place.where} verifies: nothing is removed")
    keep = Keep(
        last=options.keep_last, best=options.keep_best, steps=lambda: options.keep_steps, tokens=options.keep_tokens
    )
    doomed = [one for one in keep.doomed(found) if one != good]
    for one in doomed:
        place.remove([one.name])
        show(Row(name=one.name, state="removed", step=one.step))
    if config.telemetry is not None:
        send(config, [one for one in found if one not in doomed], points=None)
    return f"removed {_counted(len(doomed))}, kept {len(names) - len(doomed)}"


def report(config: RunConfig, place: Place, _show: Print) -> str:
    """Tell the operator what it missed."""
    complete, points = _whole(place, place.names()), place.points()
    send(config, complete, points)
    return f"reported {len(points)} points of the curve and {_counted(len(complete))}"


def delete(_config: RunConfig, place: Place, _show: Print) -> str:
    """Remove all that the run left."""
    return f"deleted {place.where} with {_counted(place.delete_all())}"


TASKS = {"list": list_all, "verify": verify, "gc": collect, "report": report, "delete": delete}


def main() -> NoReturn:
    """Does one task and exits with its code."""
    parser = argparse.ArgumentParser(
        prog="polar.registry", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--config", required=True, help="the run's run.json")
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    options = parser.parse_args()
    attempt = 0
    try:
        config = configs.load(options.config)
        attempt = config.run.attempt
        show = _print_json if options.json else _print_table
        message = TASKS[options.task](config, place_of(config), show)
        outcome: Result = {"exitCode": 0, "reason": "Complete", "message": message}
    except Exception as error:
        code, reason, message = explain(error)
        outcome = {"exitCode": code, "reason": reason, "message": message}
    termination.write_message(termination.message_of(outcome, attempt, {"task": options.task}))
    line = {"task": options.task, **outcome} if options.json else f"{options.task}: {outcome['message']}"
    print(json.dumps(line) if options.json else line, file=sys.stdout if outcome["exitCode"] == 0 else sys.stderr)
    sys.exit(outcome["exitCode"])


def _row(place: Place, name: str, *, deep: bool) -> Row:
    try:
        one = place.look(name, deep=deep)
    except CheckpointError as error:
        return Row(name=name, state="damaged", problem=str(error))
    return Row(
        name=name, state="verified" if deep else "complete", step=one.step, valLoss=one.val_loss, tokens=one.tokens,
        completedAt=one.completed_at, manifestSha256=one.manifest_sha256,
    )  # fmt: skip


def _whole(place: Place, names: list[str]) -> list[CheckpointInfo]:
    """Those whose files are all there."""
    found = []
    for name in names:
        with contextlib.suppress(CheckpointError):
            found.append(place.look(name, deep=False))
    return found


def _newest_good(place: Place, found: list[CheckpointInfo]) -> CheckpointInfo | None:
    for one in reversed(found):
        try:
            return place.look(one.name, deep=True)
        except CheckpointError as error:
            print(f"passed over: {error}", file=sys.stderr)
    return None


def _counted(count: int) -> str:
    return f"{count} checkpoint{'' if count == 1 else 's'}"


def _print_json(row: Row) -> None:
    print(json.dumps({key: value for key, value in asdict(row).items() if value is not None}), flush=True)


def _print_table(row: Row) -> None:
    loss = f"{row.valLoss:.4f}" if row.valLoss is not None else "-"
    print(f"{row.name}  {row.state:9}  {loss:>8}  {row.completedAt or row.problem or ''}", flush=True)


if __name__ == "__main__":
    main()
