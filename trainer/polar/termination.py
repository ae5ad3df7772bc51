"""What a worker's container leaves behind: one outcome from the outcomes of its ranks, and the termination message.

Pure but for `write_message`. The message is JSON of at most 4096 bytes, whatever has to be left out for that.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from polar.errors import Interrupted, PolarError
from polar.result import Result, decimals

MAX_BYTES = 4096
MAX_TAIL = 40
LOG_VARIABLE, DEFAULT_LOG = "POLAR_TERMINATION_LOG", "/dev/termination-log"


def decide(results: dict[int, Result], exit_codes: dict[int, int], ranks: list[int]) -> Result:
    """The worker's outcome. The root cause wins: a rank that lost a peer says less than the peer itself.

    `results` are the result files by rank, `exit_codes` what is known of ranks that died without one.
    """
    candidates = [_outcome(rank, results.get(rank), exit_codes.get(rank)) for rank in ranks]
    return min(candidates, key=_weight)


def message_of(outcome: Result, attempt: int, summary: dict[str, Any]) -> bytes:
    """The termination message: outcome, attempt and rank 0's summary, cut to fit."""
    document = {
        "reason": outcome["reason"], "message": outcome["message"], "exitCode": outcome["exitCode"], "attempt": attempt,
        **decimals(summary),
    }
    tail = document.get("tail")
    if isinstance(tail, list):
        document["tail"] = tail[-MAX_TAIL:]
    while len(encoded := _encode(document)) > MAX_BYTES:
        _shorten(document)
    return encoded


def write_message(message: bytes) -> None:
    """Writes the termination message to $POLAR_TERMINATION_LOG or, if there is one, /dev/termination-log."""
    path = Path(os.environ.get(LOG_VARIABLE, DEFAULT_LOG))
    if LOG_VARIABLE not in os.environ and not path.exists():
        return
    try:
        path.write_bytes(message)
    except OSError as error:
        print(f"launch: cannot write {path}: {error.strerror}", file=sys.stderr)


def failure(error: PolarError) -> Result:
    """The outcome for an error of the launcher itself."""
    return {"exitCode": error.exit_code, "reason": error.reason, "message": str(error), "peerLost": False}


def _outcome(rank: int, result: Result | None, code: int | None) -> Result:
    if result is not None:
        return result
    if code is not None and code < 0:
        message = f"rank {rank} was killed by {signal.Signals(-code).name}"
    else:
        message = f"rank {rank} ended without a result" + (f" (exit code {code})" if code is not None else "")
    return {"rank": rank, "message": message, "exitCode": PolarError.exit_code, "reason": PolarError.reason,
            "peerLost": False, "summary": {}, "unknown": code is None}


def _weight(outcome: Result) -> tuple[int, int]:
    code = outcome["exitCode"]
    order = [
        code not in (0, PolarError.exit_code, Interrupted.exit_code),
        code == PolarError.exit_code and not outcome["peerLost"] and not outcome.get("unknown"),
        code == PolarError.exit_code and not outcome["peerLost"],
        code == PolarError.exit_code,
        code == Interrupted.exit_code,
        True,
    ]
    return order.index(True), outcome.get("rank", 0)


def _shorten(document: dict[str, Any]) -> None:
    """Makes the document smaller by the least valuable part it still has."""
    tail, message = document.get("tail"), document["message"]
    if tail:
        document["tail"] = tail[len(tail) % 2 + 1 :: 2] if len(tail) > 2 else []
    elif len(message) > 200:
        document["message"] = message[: len(message) // 2] + "..."
    else:
        optional = [key for key in document if key not in ("reason", "message", "exitCode", "attempt")]
        if optional:
            del document[max(optional, key=lambda key: len(_encode(document[key])))]
        else:
            document["message"] = ""


def _encode(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode(errors="replace")
