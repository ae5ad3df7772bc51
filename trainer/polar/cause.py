"""Why a gang failed, told between its ranks: a lost connection to a peer is never the cause itself.

The rank that fails leaves its reason in the gang's TCP store; ranks that then lose it read the reason there and end
with the same code. Best effort: the store may be gone with worker 0.
"""

import contextlib
import json
import os
import re
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import torch.distributed as torch_dist

from polar.errors import HungError

KEY = "polar/failure"
TIMEOUT = timedelta(seconds=2)
ANSWER_SECONDS = 5.0
_PEER_LOST = re.compile(
    r"connection (closed|reset|refused|was likely closed)|broken pipe|socket closed|gloo|nccl|timed out|remote process",
    re.IGNORECASE,
)


def is_peer_loss(error: BaseException) -> bool:
    """Whether an error looks like a collective that failed because another rank went away."""
    kinds = (torch_dist.DistBackendError, torch_dist.DistNetworkError, torch_dist.DistStoreError)
    return isinstance(error, kinds) or (type(error) is RuntimeError and bool(_PEER_LOST.search(str(error))))


def publish(failure: dict[str, Any]) -> None:
    """Leaves this rank's failure for its peers, unless another rank was first."""

    def leave() -> None:
        store = _store()
        if store is not None:
            store.compare_set(KEY, "", json.dumps(failure))

    _answered(leave)


def read() -> dict[str, Any] | None:
    """The failure another rank left, or None."""

    def look() -> Any:
        store = _store()
        return json.loads(store.get(KEY)) if store is not None and store.check([KEY]) else None

    value = _answered(look)
    return value if isinstance(value, dict) else None


def told(failure: dict[str, Any]) -> str:
    """Another rank's failure in words; a hang names its rank itself."""
    hung = failure["exitCode"] == HungError.exit_code
    return str(failure["message"]) if hung else f"rank {failure['rank']}: {failure['message']}"


def _answered(action: Callable[[], Any]) -> Any:
    """What an action gives, or None when it fails or takes too long: a stopped store answers nothing for ever."""
    answers: list[Any] = []

    def act() -> None:
        with contextlib.suppress(Exception):
            answers.append(action())

    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    thread.join(ANSWER_SECONDS)
    return answers[0] if answers else None


def _store() -> Any:
    address, port = os.environ.get("MASTER_ADDR"), os.environ.get("MASTER_PORT")
    if address is None or port is None:
        return None
    return torch_dist.TCPStore(address, int(port), is_master=False, timeout=TIMEOUT)  # type: ignore[attr-defined]
