"""The ranks of this worker as seen from outside: their pid and result files in one directory."""

import contextlib
import json
import os
import signal
from dataclasses import dataclass, field
from pathlib import Path

from polar.result import Result


@dataclass
class Ranks:
    """Ranks `first` to `first + count - 1`."""

    directory: Path
    first: int
    count: int
    _signalled: set[int] = field(default_factory=set)

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

    def results(self) -> dict[int, Result]:
        """The result files that are there, by rank."""
        found: dict[int, Result] = {}
        for rank in self.numbers():
            with contextlib.suppress(OSError, ValueError):
                found[rank] = json.loads((self.directory / f"rank-{rank}.json").read_bytes())
        return found

    def exit_codes(self) -> dict[int, int]:
        """What torchrun knows of the ranks that failed: exit code, negative for a signal."""
        with contextlib.suppress(OSError, ValueError):
            codes = json.loads((self.directory / "agent.json").read_bytes())
            return {int(rank): int(code) for rank, code in codes.items()}
        return {}
