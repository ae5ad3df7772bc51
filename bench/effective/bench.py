"""Effective training time: restarts of real workers, and what follows from them. Run by `make bench-effective`.

docs/effective-time.md explains the numbers.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from measure import measure
from model import Setting, effective, mixed
from simulate import simulate

RESULTS = Path(__file__).parents[1] / "results" / "effective.json"
HOUR = 3600.0
HANG_LIMIT_SECONDS = 120.0  # the trainer's default for steps of up to 12 s
SAVE_SECONDS = 30.0
RESTARTS = (60.0, 180.0, 600.0)
TARGET = 0.95
FAILURES = 1500
STEP_SECONDS = 5.0


def main() -> None:
    """Measure, work out, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--work", type=Path, default=None, help="folder for the run, kept; default: a temporary one")
    options = parser.parse_args()
    began, load = time.monotonic(), os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.work or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        measured = measure(folder)
    rows = [row(name, setting) for name, setting in settings(measured).items()]
    show(measured, rows)
    document = {
        "meanSecondsBetweenFailures": HOUR, "hangShare": 0.2, "target": TARGET, "measured": measured, "table": rows,
        "processors": os.cpu_count(), "loadAtStart": round(load, 1), "seconds": round(time.monotonic() - began),
    }  # fmt: skip
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(document, indent=1) + "\n")
    print(f"wrote {options.out}")


def settings(measured: dict[str, Any]) -> dict[str, Setting]:
    """The rows of the table. A hang takes the trainer's default limit to be found, whatever the bench waited."""
    crash = measured["crashRestartSeconds"]
    hang = measured["hangRestartSeconds"] - measured["hangTimeoutSeconds"] + HANG_LIMIT_SECONDS
    stall = measured["stallSeconds"]
    rows = {"measured": Setting(stall=stall, written=stall, restarts=mixed(crash, hang))}
    for seconds in RESTARTS:
        restarts = mixed(seconds, seconds)
        rows[f"restart {seconds:.0f} s, saves that stop training for 30 s"] = Setting(
            stall=SAVE_SECONDS, written=0.0, restarts=restarts
        )
        rows[f"restart {seconds:.0f} s, saves written in 30 s behind training"] = Setting(
            stall=1.0, written=SAVE_SECONDS, restarts=restarts
        )
    return rows


def row(name: str, setting: Setting) -> dict[str, Any]:
    """A line of the table."""
    share = effective(setting, HOUR)
    return {
        "name": name, "restartSeconds": round(setting.restart(), 1), "stallSeconds": setting.stall,
        "writtenSeconds": setting.written, "intervalSeconds": round(setting.interval(HOUR)),
        "effective": round(share, 4), "simulated": round(simulate(setting, HOUR, FAILURES, STEP_SECONDS), 4),
        "holds95": share >= TARGET,
    }  # fmt: skip


def show(measured: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """The table."""
    print(
        f"\nmeasured: a crash costs {measured['crashRestartSeconds']} s until the first step is done again, a hang "
        f"{measured['hangRestartSeconds']} s with a limit of {measured['hangTimeoutSeconds']} s; a save stops training "
        f"for {measured['stallSeconds']} s\none failure an hour, 20 % of them hangs:\n"
    )
    print(f"{'':58} {'restart':>8} {'interval':>8} {'effective':>9} {'simulated':>9}  95 %")
    for one in rows:
        holds = "holds" if one["holds95"] else "does not hold"
        print(
            f"{one['name']:58} {one['restartSeconds']:7.0f}s {one['intervalSeconds']:7}s "
            f"{100 * one['effective']:7.1f} % {100 * one['simulated']:7.1f} %  {holds}"
        )


if __name__ == "__main__":
    main()
