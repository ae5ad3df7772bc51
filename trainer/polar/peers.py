"""Ranks tell each other about their progress through the gang's TCP store, in a thread of their own.

The store may be gone or stopped with worker 0, and then a call to it can block: nobody waits for this thread.
"""

import json
import os
import threading
import time
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from polar.hang import Failure, Record, Seen

KEY = "polar/watch/{}"
CONNECT_TIMEOUT = timedelta(seconds=10)
SILENT_TICKS = 8
RETRY_SECONDS = 10.0


class Peers:
    """The newest records of the other ranks. They are only read while this rank is late."""

    def __init__(self, own: Record) -> None:
        self._own, self._tick = own, 1.0
        self._beats: dict[int, tuple[Record, float]] = {}
        self._failure: Failure | None = None
        self._answered = time.monotonic()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch-peers", daemon=True)
        self._thread.start()

    def tell(self, own: Record, tick: float) -> None:
        """Replace what the peers are told. Phase "end" is told last: then the store may go."""
        self._own, self._tick = own, tick

    def view(self) -> list[Seen]:
        """What is known of the other ranks; a beat that has not changed for some ticks is none. [] before any look."""
        now, silent = time.monotonic(), SILENT_TICKS * self._tick
        if not self.reachable():
            return []
        return [Seen(record, now - since < silent) for record, since in dict(self._beats).values()]

    def reachable(self) -> bool:
        """Whether the store has answered lately, or need not."""
        return not self._thread.is_alive() or time.monotonic() - self._answered < max(3.0, SILENT_TICKS * self._tick)

    def failure(self) -> Failure | None:
        """What another rank has failed with, if that is known."""
        return self._failure

    def publish(self, failure: Failure) -> None:
        """Leave this rank's failure for the others, if the store answers, and give them time to see it."""
        from polar import cause  # noqa: PLC0415 - imports torch

        value = {
            "rank": failure.rank, "exitCode": failure.code, "reason": failure.reason, "message": failure.message
        }
        cause.publish(value)
        time.sleep(3 * self._tick)

    def close(self) -> None:
        """Stop telling."""
        self._closed.set()

    def _run(self) -> None:
        store: Any = None
        while not self._closed.wait(self._tick):
            parting = self._own.phase == "end"
            try:
                store = store or self._connect()
                if store is not None:
                    self._exchange(store)
                    self._answered = time.monotonic()
                if parting:
                    return
            except Exception:
                store = None
                self._closed.wait(RETRY_SECONDS)  # a failed connection is a page of log

    def _exchange(self, store: Any) -> None:
        from polar import cause  # noqa: PLC0415 - imports torch

        own = self._own
        store.set(KEY.format(own.rank), json.dumps(asdict(own)))
        if self._failure is None and store.check([cause.KEY]):
            found = json.loads(store.get(cause.KEY))
            self._failure = Failure(found["rank"], found["exitCode"], found["reason"], cause.told(found))
        if own.quiet <= own.limit / 2:
            self._beats.clear()
            return
        ranks = [rank for rank in range(int(os.environ["WORLD_SIZE"])) if rank != own.rank]
        for rank in ranks:
            if not store.check([KEY.format(rank)]):
                continue
            record = Record(**json.loads(store.get(KEY.format(rank))))
            before = self._beats.get(rank)
            if before is None or before[0].beat != record.beat:
                self._beats[rank] = (record, time.monotonic())

    @staticmethod
    def _connect() -> Any:
        import torch.distributed as torch_dist  # noqa: PLC0415 - a gang of one does without

        address, port = os.environ.get("MASTER_ADDR"), os.environ.get("MASTER_PORT")
        if not torch_dist.is_initialized() or address is None or port is None:
            return None
        store = torch_dist.TCPStore  # type: ignore[attr-defined]
        return store(address, int(port), is_master=False, wait_for_workers=False, timeout=CONNECT_TIMEOUT)
