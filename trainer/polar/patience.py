"""Waiting for a store that is away for a while, without letting anybody think that this process hangs."""

import sys
import time
from collections.abc import Callable
from typing import TypeVar

from polar.s3_errors import StoreDownError
from polar.watch import WATCH

START_SECONDS = 300.0
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 15.0
T = TypeVar("T")


def patiently(action: Callable[[], T], seconds: float = START_SECONDS) -> T:
    """What `action` returns, which is repeated while the store is away. Raises StoreDownError after `seconds`.

    Main thread only.
    """
    deadline, pause = time.monotonic() + seconds, FIRST_PAUSE
    while True:
        WATCH.beat()
        try:
            return action()
        except StoreDownError as error:
            if time.monotonic() > deadline:
                raise
            if pause == FIRST_PAUSE:
                print(f"{error}; trying again for {seconds:.0f} s", file=sys.stderr, flush=True)
        time.sleep(pause)
        pause = min(LONGEST_PAUSE, 1.6 * pause)
