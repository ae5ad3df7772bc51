"""The saves of one attempt: when they are due, what they cost, and the time of training between them."""

import time

from polar.checkpoint import CheckpointInfo
from polar.distributed import Dist
from polar.interval import Clock, Interval
from polar.saver import Saver
from polar.state import Recorder, TrainState
from polar.watch import WATCH


class Saves:
    """Saves the state when `due` says so. Counts into `state.train_seconds` what passes outside of `save`.

    `tokens` are those of the state that training goes on from.
    """

    def __init__(
        self, saver: Saver, recorder: Recorder, interval: Interval, *, tokens: int = 0, clock: Clock = time.monotonic
    ) -> None:
        self._saver, self._recorder, self.interval, self._clock = saver, recorder, interval, clock
        self._tokens = tokens
        self._counted = clock()
        self._writing = False
        self.stall: float | None = None

    def due(self, state: TrainState, dist: Dist) -> bool:
        """Whether this rank wants a save after the step just done: by time only rank 0 does. Asked after each step."""
        before, self._tokens = self._tokens, state.tokens
        if self.interval.is_branch_point(state.step, before, state.tokens):
            return True
        by_steps = self.interval.seconds is None
        return (by_steps or dist.is_main) and self.interval.due(state.step, self._writing)

    def count(self, state: TrainState) -> None:
        """Count the time since the last count, or save, as training."""
        now = self._clock()
        state.train_seconds += now - self._counted
        self._counted = now

    def save(self, state: TrainState, *, validated: bool, validation_seconds: float = 0.0) -> None:
        """Start a save; waits for the one before. `validation_seconds` passed only because of this save.

        Raises what the save before failed with. Collective.
        """
        WATCH.mark("save", state.step)
        self.count(state)
        state.save_cost = self.interval.cost
        self._saver.submit(self._recorder.snapshot(state, validated))
        self._writing = True
        self.stall = self._clock() - self._counted
        self.interval.began(self.stall + validation_seconds)
        self._counted = self._clock()

    def poll(self) -> list[CheckpointInfo] | None:
        """All complete checkpoints when that changed, as `Saver.poll`, whose errors it raises."""
        news = self._saver.poll()
        if self._writing and not self._saver.busy:
            self._writing = False
            self.interval.written()
        return news

    def complete(self) -> list[CheckpointInfo]:
        """All complete checkpoints, oldest first."""
        return self._saver.complete()

    def finish(self) -> None:
        """Wait for the save in flight, as `Saver.finish`. Collective."""
        self._saver.finish()

    def close(self) -> None:
        """Wait for the save in flight; raises what it failed with."""
        self._saver.close()
