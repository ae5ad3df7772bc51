"""The ranks of this worker as seen from outside: their pid and result files in one directory."""

import contextlib
import json
import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

from polar.errors import HungError
from polar.result import Result

SLACK_SECONDS = 2.0
AFTER_A_HANG_SECONDS = 5.0
STOPPING_SECONDS = 30.0
ASLEEP_SECONDS = 5.0


@dataclass
class Ranks:
    """Ranks `first` to `first + count - 1`."""

    directory: Path
    first: int
    count: int
    _signalled: set[int] = field(default_factory=set)
    _beats: dict[int, tuple[int, float]] = field(default_factory=dict)
    _looked: float = 0.0
    ended: dict[int, str] = field(default_factory=dict)

    def numbers(self) -> list[int]:
        """The rank numbers."""
        return list(range(self.first, self.first + self.count))

    def terminate(self) -> list[int]:
        """Sends SIGTERM, once, to each rank that handles it by now; returns the pids of those that ever did."""
        known = []
        for rank in self.numbers():
            with contextlib.suppress(OSError, ValueError):
                pid = int((self.directory / f"rank-{rank}.pid").read_text(encoding="ascii"))
                known.append(pid)
                if pid not in self._signalled:
                    self._signalled.add(pid)
                    os.kill(pid, signal.SIGTERM)
        return known

    def end_silent(self, stopping: bool) -> None:
        """Ends the ranks whose beats stay away for longer than their phase may take, and notes them in `ended`.

        A rank notices by itself that it hangs, unless it is stopped or in native code that keeps the interpreter's
        lock. SIGABRT makes faulthandler print its stacks all the same. It is later than the ranks' own look at each
        other, which says more, but soon once a rank here has ended with that or the pod is being stopped.
        """
        now, results = time.monotonic(), self.results()
        if now - self._looked > ASLEEP_SECONDS:
            self._beats.clear()  # nothing ran for a while, this process neither
        self._looked = now
        hung = any(one["exitCode"] == HungError.exit_code for one in results.values())
        most = AFTER_A_HANG_SECONDS if hung else STOPPING_SECONDS if stopping else float("inf")
        for rank in self.numbers():
            beat = self._read(rank, "beat")
            if rank in results or rank in self.ended or not beat:
                continue
            number, since = self._beats.setdefault(rank, (beat["beat"], now))
            silent = now - since
            if number != beat["beat"]:
                self._beats[rank] = (beat["beat"], now)
            elif silent > min(most, 1.25 * beat["limit"] + SLACK_SECONDS):
                doing = f"{beat['phase']} {beat['step']}" if beat["step"] else beat["phase"]
                self.ended[rank] = (
                    f"rank {rank} does not run for {silent:.0f} s ({doing}): stopped, or stuck in native code"
                )
                self._abort(rank)

    def hung(self) -> dict[int, Result]:
        """Outcomes of the ranks that `end_silent` ended."""
        kind = {"exitCode": HungError.exit_code, "reason": HungError.reason, "peerLost": False}
        return {rank: {**kind, "rank": rank, "message": text} for rank, text in self.ended.items()}

    def _abort(self, rank: int) -> None:
        with contextlib.suppress(OSError, ValueError):
            pid = int((self.directory / f"rank-{rank}.pid").read_text(encoding="ascii"))
            os.kill(pid, signal.SIGABRT)
            os.kill(pid, signal.SIGCONT)

    def _read(self, rank: int, kind: str) -> Result | None:
        with contextlib.suppress(OSError, ValueError):
            value: Result = json.loads((self.directory / f"rank-{rank}.{kind}").read_bytes())
            return value
        return None

    def results(self) -> dict[int, Result]:
        """The result files that are there, by rank."""
        found = {rank: self._read(rank, "json") for rank in self.numbers()}
        return {rank: result for rank, result in found.items() if result is not None}

    def exit_codes(self) -> dict[int, int]:
        """What torchrun knows of the ranks that failed: exit code, negative for a signal."""
        with contextlib.suppress(OSError, ValueError):
            codes = json.loads((self.directory / "agent.json").read_bytes())
            return {int(rank): int(code) for rank, code in codes.items()}
        return {}
