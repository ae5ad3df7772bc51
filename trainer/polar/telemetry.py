"""The connection of rank 0 to the operator's ingest service: one stream, made again whenever it ends.

Lives in a daemon thread; nothing here is waited for by training. Each connection reads the token and the CA afresh
(both are rotated on disk) and sends every unacknowledged message again.
"""

import os
import random
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("GRPC_DNS_RESOLVER", "native")
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")

import grpc

from polar.gen import telemetry_pb2 as pb
from polar.gen import telemetry_pb2_grpc
from polar.mailbox import Mailbox

REJECTIONS = {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.FAILED_PRECONDITION}
CHANNEL_OPTIONS = [
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
]


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where to report. `rejected_backoff_seconds` is the pause after an answer that a retry will hardly change.

    A message goes out every `heartbeat_seconds` at least: a step, a validation or an export may take long, and the
    operator replaces an attempt that it has not heard of for recovery.silenceTimeoutSeconds.
    """

    address: str
    token_path: str
    ca_path: str
    interval_seconds: float
    first_backoff_seconds: float = 0.5
    longest_backoff_seconds: float = 15.0
    rejected_backoff_seconds: float = 30.0
    heartbeat_seconds: float = 60.0


class TelemetryStream:
    """Sends a mailbox's messages until closed; keeps the newest command of the current attempt.

    `stop` stays set: a replica of the operator that has not heard of it yet may answer next.
    """

    def __init__(self, target: Target, mailbox: Mailbox, attempt: int) -> None:
        self._target, self._mailbox, self._attempt = target, mailbox, attempt
        self._closed = threading.Event()
        self._hurry = threading.Event()
        self._state = ""
        self._failures = 0
        self._call: grpc.Call | None = None
        self.rejected = False
        self.command = pb.Command()
        self.stop = False
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)
        self._thread.start()

    def hurry(self) -> None:
        """Retries soon from now on: the process is about to end."""
        self._hurry.set()

    def close(self) -> None:
        """Ends the stream and the thread; what is unacknowledged stays unacknowledged."""
        self._closed.set()
        self._hurry.set()
        self._mailbox.wake()
        if self._call is not None:
            self._call.cancel()
        self._thread.join(timeout=2)

    def _run(self) -> None:
        while not self._closed.is_set():
            self.rejected = False
            try:
                self._session()
                self._note("the stream ended; connecting again")
            except grpc.RpcError as error:
                code = error.code()
                self.rejected = code in REJECTIONS
                self._note(f"{code.name}: {error.details()}")
            except Exception as error:
                self._note(f"{type(error).__name__}: {error}")
            self._failures += 1
            self._pause()

    def _session(self) -> None:
        ended = threading.Event()
        token = Path(self._target.token_path).read_text(encoding="ascii").strip()
        credentials = grpc.ssl_channel_credentials(root_certificates=Path(self._target.ca_path).read_bytes())
        with grpc.secure_channel(self._target.address, credentials, CHANNEL_OPTIONS) as channel:
            stub = telemetry_pb2_grpc.TelemetryStub(channel)  # type: ignore[no-untyped-call]
            self._call = stub.Report(self._requests(ended), metadata=[("authorization", f"Bearer {token}")])
            try:
                if not self._closed.is_set():
                    for response in self._call:
                        self._on_response(response)
            finally:
                ended.set()
                self._mailbox.wake()

    def _requests(self, ended: threading.Event) -> Iterator[pb.ReportRequest]:
        sent, told_at = 0, time.monotonic()
        while not ended.is_set():
            for message in self._mailbox.outgoing(sent):
                sent, told_at = message.seq, time.monotonic()
                yield message
            self._mailbox.wait(self._target.interval_seconds)
            if time.monotonic() - told_at >= self._target.heartbeat_seconds:
                self._mailbox.beat()

    def _on_response(self, response: pb.ReportResponse) -> None:
        if response.attempt != self._attempt:
            return
        if self._failures or not self._state:
            self._note(f"connected to {self._target.address}")
        self._failures = 0
        self._mailbox.ack(response.acked_seq)
        if response.HasField("command"):
            self.stop = self.stop or response.command.save_and_stop
            self.command = response.command

    def _pause(self) -> None:
        target = self._target
        seconds = min(target.longest_backoff_seconds, target.first_backoff_seconds * 1.6 ** min(self._failures, 30))
        if self.rejected:
            seconds = target.rejected_backoff_seconds
        seconds *= random.uniform(0.7, 1.3)
        if self._hurry.wait(seconds) and not self._closed.is_set():
            time.sleep(min(seconds, target.first_backoff_seconds))

    def _note(self, state: str) -> None:
        if state != self._state and not self._closed.is_set():
            self._state = state
            print(f"telemetry: {state}", file=sys.stderr, flush=True)
