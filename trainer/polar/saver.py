"""Saves checkpoints beside training: tensors are copied to the host at once, files are written in a thread.

At most one save is in flight and saves are in order. An error surfaces at the next call; `close` waits for the last.
"""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from polar import checkpoint, retention
from polar.checkpoint import CheckpointInfo, Snapshot


class Saver:
    """The one writer below `root` (rank 0). Cleans up what an interrupted attempt left there."""

    def __init__(
        self, root: Path, *, keep_last: int, keep_best: int, before_commit: Callable[[], None] = lambda: None
    ) -> None:
        self._root, self._keep_last, self._keep_best = Path(root), keep_last, keep_best
        self._before_commit = before_commit
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._news: list[CheckpointInfo] | None = None
        retention.clean(self._root)

    def submit(self, snapshot: Snapshot) -> None:
        """Starts saving a copy of `snapshot`; waits for the save before it. Raises what that one failed with."""
        self.wait()
        copy = replace(
            snapshot, model=_on_host(snapshot.model), optimizer=_on_host(snapshot.optimizer), rng=_on_host(snapshot.rng)
        )
        self._thread = threading.Thread(target=self._save, args=(copy,), name="checkpoint-saver")
        self._thread.start()

    def wait(self) -> None:
        """Waits for the save in flight. Raises what it failed with, once."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._raise_error()

    def poll(self) -> list[CheckpointInfo] | None:
        """All complete checkpoints, oldest first, when a save has finished since the last call, else None.

        Raises what a finished save failed with. Never waits.
        """
        if self._thread is not None and not self._thread.is_alive():
            self.wait()
        news, self._news = self._news, None
        return news

    def close(self) -> None:
        """Waits for the save in flight; raises what it failed with."""
        self.wait()

    def _save(self, snapshot: Snapshot) -> None:
        try:
            self._before_commit()
            info = checkpoint.save(self._root, snapshot)
            self._news = checkpoint.list_complete(self._root)
            retention.collect_garbage(self._root, self._keep_last, self._keep_best, verified_step=info.step)
            self._news = checkpoint.list_complete(self._root)
        except BaseException as error:
            self._error = error

    def _raise_error(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error


def _on_host(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value.detach().to("cpu", copy=True).contiguous() for name, value in tensors.items()}
