"""The style baseline in a process of its own: it costs seconds of pure Python, which no step should wait for."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable

from polar.baseline import PairText

CHARACTERS = 8_000  # of a text; style shows in less

Pairs = list[PairText]


class BaselineJob:
    """Fits on `train()` and measures on `sets()`, which are called when the first result is asked for."""

    def __init__(self, train: Callable[[], Pairs], sets: Callable[[], dict[str, Pairs]]) -> None:
        self._train, self._sets = train, sets
        self._process: subprocess.Popen[bytes] | None = None
        self._found: dict[str, float] | None = None

    def result(self, *, wait: bool) -> dict[str, float] | None:
        """Accuracy by set, or None while there is none yet and `wait` is not set, or when the process failed."""
        if self._found is not None:
            return self._found
        if self._process is None:
            self._process = self._start()
        if not wait and self._process.poll() is None:
            return None
        printed, _ = self._process.communicate()
        if self._process.returncode != 0:
            return None
        self._found = json.loads(printed)
        return self._found

    def _start(self) -> subprocess.Popen[bytes]:
        given = {"train": cut(self._train()), "sets": {name: cut(pairs) for name, pairs in self._sets().items()}}
        with tempfile.TemporaryFile() as document:
            document.write(json.dumps(given).encode())
            document.seek(0)
            command = [sys.executable, "-m", "polar.baseline"]
            return subprocess.Popen(command, stdin=document, stdout=subprocess.PIPE)


def cut(pairs: Pairs) -> Pairs:
    """The beginnings of the texts."""
    return [(r[:CHARACTERS], p[:CHARACTERS], n[:CHARACTERS]) for r, p, n in pairs]
