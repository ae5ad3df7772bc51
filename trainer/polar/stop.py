"""The stop flag of this process: set by SIGTERM, SIGINT or a command, read once per step.

Handlers only set the flag, so the step in progress ends normally; `Dist.any` makes all ranks agree on the same step.
A second SIGINT interrupts at once, for a person at a terminal.
"""

import signal
from types import FrameType


class Stop:
    """Whether this process was asked to stop, and by whom."""

    def __init__(self) -> None:
        self.requested = False
        self.reason = ""

    def request(self, reason: str) -> None:
        """Asks for a stop; the first reason is kept."""
        if not self.requested:
            self.requested, self.reason = True, reason


FLAG = Stop()


def install(flag: Stop = FLAG) -> Stop:
    """Makes SIGTERM and SIGINT set `flag`. Main thread only; installing twice is harmless."""

    def on_signal(number: int, _frame: FrameType | None) -> None:
        flag.request(signal.Signals(number).name)
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    return flag
