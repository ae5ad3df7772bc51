"""`metrics.jsonl` beside the checkpoints: every curve point of the run, whatever the operator has seen of them.

One JSON object per line with the fields of a telemetry Point. An attempt that resumes at step k first cuts the file
back to k, so the file and the weights always agree.
"""

import contextlib
import json
import os
import threading
from collections import deque
from pathlib import Path
from typing import Any

from polar.durable import replace_file

NAME = "metrics.jsonl"
FIELDS = ("step", "tokens", "train_loss", "val_loss", "val_accuracy")
NEWEST = 40
PointFields = dict[str, Any]


class MetricsLog:
    """Appends points to a file; `sync` may run in another thread and does not hold up `append`. Raises OSError."""

    def __init__(self, directory: Path, resumed_from_step: int) -> None:
        path = Path(directory) / NAME
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = [point for point in read_points(path) if point["step"] <= resumed_from_step]
        if path.exists():
            replace_file(path, b"".join(_line(point) for point in kept))
        self._path, self._lock = path, threading.Lock()
        self.newest = deque(kept, maxlen=NEWEST)
        self._file = path.open("ab")

    def append(self, point: PointFields) -> None:
        """Adds a point; durable after the next `sync`."""
        with self._lock:
            self.newest.append(point)
            self._file.write(_line(point))

    def read(self) -> list[PointFields]:
        """All points of the run; only the newest are kept in memory."""
        with self._lock:
            self._file.flush()
        return read_points(self._path)

    def sync(self) -> None:
        """Forces everything appended so far to stable storage."""
        with self._lock:
            self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Syncs and closes the file; closing it again does nothing."""
        if self._file.closed:
            return
        try:
            self.sync()
        finally:
            with contextlib.suppress(OSError):
                self._file.close()


def read_points(path: Path) -> list[PointFields]:
    """The points of a file in step order, one per step (later lines win); lines torn by a crash are left out."""
    by_step: dict[int, PointFields] = {}
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        for line in file:
            with contextlib.suppress(ValueError, KeyError, TypeError):
                value = json.loads(line)
                by_step.setdefault(int(value["step"]), {}).update({key: value[key] for key in FIELDS if key in value})
    return [by_step[step] for step in sorted(by_step)]


def _line(point: PointFields) -> bytes:
    return (json.dumps(point, separators=(",", ":")) + "\n").encode()
