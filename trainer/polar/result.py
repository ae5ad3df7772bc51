"""How a rank ends: its outcome as a small JSON file that `polar.launch` reads, and its exit code.

The file is `$POLAR_RESULT_DIR/rank-<rank>.json`; without that variable (a program run by hand) there is only the code.
"""

import contextlib
import importlib
import json
import math
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from polar import stop
from polar.durable import NO_SPACE, error_number
from polar.errors import Interrupted, OutOfMemoryError, PolarError, StorageFullError
from polar.hang import Failure
from polar.watch import RESULT_DIR, WATCH

MAX_MESSAGE = 1500
Summary = dict[str, Any]
Result = dict[str, Any]


def run_rank(main: Callable[[Summary], None]) -> NoReturn:
    """Runs a program as one rank and ends the process.

    `main` keeps the summary it is given current (step, losses, checkpoints: see the termination message); it travels
    with the outcome also when `main` raises. An interrupted rank of a launched gang exits with 0, so that torchrun
    lets its peers finish too; the result file has the code.
    """
    stop.install()
    _register()
    summary: Summary = {}
    WATCH.start(lambda failure: _end_hung(failure, summary))
    try:
        main(summary)
        result: Result = {"exitCode": 0, "reason": "Complete", "message": "", "peerLost": False}
    except BaseException as error:
        if not isinstance(error, Interrupted):
            traceback.print_exc()
        result = _failure(error)
    WATCH.close()
    result |= {"rank": _rank(), "summary": summary}
    write_result(result)
    print(f"rank {_rank()}: {result['reason']}: {result['message']}".rstrip(": "), file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    launched = RESULT_DIR in os.environ
    # Not sys.exit: destroying a process group whose peers are waiting in a collective can hang, and nobody watches now.
    os._exit(0 if launched and result["exitCode"] == Interrupted.exit_code else result["exitCode"])


def _end_hung(failure: Failure, summary: Summary) -> NoReturn:
    """Ends a process whose main thread is stuck."""
    result = {"exitCode": failure.code, "reason": failure.reason, "message": _cut(failure.message), "peerLost": False}
    with contextlib.suppress(Exception):
        write_result({**result, "rank": _rank(), "summary": dict(summary)})
    print(f"rank {_rank()}: {result['reason']}: {result['message']}", file=sys.stderr, flush=True)
    os._exit(failure.code)


def explain(error: BaseException) -> tuple[int, str, str]:
    """Exit code, reason and message of an exception."""
    if isinstance(error, PolarError):
        return error.exit_code, error.reason, _cut(str(error))
    if _is_out_of_memory(error):
        return OutOfMemoryError.exit_code, OutOfMemoryError.reason, _cut(f"out of memory: {error}")
    if error_number(error) in NO_SPACE:
        return StorageFullError.exit_code, StorageFullError.reason, _cut(f"no space left: {error}")
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    last_line = traceback.format_exception_only(error)[-1].strip()
    return PolarError.exit_code, PolarError.reason, _cut(last_line) + where


def write_result(result: Result) -> None:
    """Writes this rank's result file, floats as decimal strings."""
    directory = os.environ.get(RESULT_DIR)
    if not directory:
        return
    path = Path(directory) / f"rank-{_rank()}.json"
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(decimals(result)), encoding="utf-8")
    temporary.rename(path)


def decimals(value: Any) -> Any:
    """The value with every float as a plain decimal string of at most six places; floats that are not finite go."""
    if isinstance(value, float):
        return f"{value:.6f}".rstrip("0").rstrip(".") if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: decimals(one) for key, one in value.items() if not _is_odd(one)}
    if isinstance(value, list | tuple):
        return [decimals(one) for one in value if not _is_odd(one)]
    return value


def _failure(error: BaseException) -> Result:
    code, reason, message = explain(error)
    result: Result = {"exitCode": code, "reason": reason, "message": message, "peerLost": False}
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return result
    cause = importlib.import_module("polar.cause")  # imports torch, which a process that only launches does without
    with contextlib.suppress(Exception):
        result["peerLost"] = code == PolarError.exit_code and cause.is_peer_loss(error)
        if not result["peerLost"]:
            if code != Interrupted.exit_code:
                cause.publish({"rank": _rank(), "exitCode": code, "reason": reason, "message": message})
        elif known := cause.read():
            result |= {"exitCode": known["exitCode"], "reason": known["reason"], "peerLost": False}
            result["message"] = cause.told(known)
        else:
            result["message"] = _cut(f"lost the connection to another rank: {message}")
    return result


def _register() -> None:
    """Tells `polar.launch` this rank's pid, once signals are handled."""
    directory = os.environ.get(RESULT_DIR)
    if directory:
        temporary = Path(directory) / f"rank-{_rank()}.pid.tmp"
        temporary.write_text(str(os.getpid()), encoding="ascii")
        temporary.rename(temporary.with_suffix(""))


def _rank() -> int:
    return int(os.environ.get("RANK", "0"))


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def _is_odd(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _cut(text: str) -> str:
    return text if len(text) <= MAX_MESSAGE else text[: MAX_MESSAGE - 3] + "..."
