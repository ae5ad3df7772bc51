"""A gRPC server with TLS that stands where the operator's ingest service stands, for test_report.py."""

import contextlib
import queue
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path

import grpc

from polar.gen import telemetry_pb2 as pb
from polar.gen import telemetry_pb2_grpc


class Certificates:
    """A certificate for 127.0.0.1, signed by its own CA, made with openssl."""

    def __init__(self, directory: Path) -> None:
        self.ca, self.key, self.certificate = directory / "ca.crt", directory / "tls.key", directory / "tls.crt"
        extensions = directory / "extensions"
        extensions.write_text("subjectAltName=IP:127.0.0.1\n")
        elliptic = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        ca_key, request = directory / "ca.key", directory / "tls.csr"
        for command in (
            ["req", "-x509", *elliptic, "-days", "2", "-subj", "/CN=ca", "-keyout", ca_key, "-out", self.ca],
            ["req", *elliptic, "-subj", "/CN=ingest", "-keyout", self.key, "-out", request],
            ["x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", ca_key, "-CAcreateserial", "-days", "2",
             "-extfile", extensions, "-out", self.certificate],
        ):
            subprocess.run(["openssl", *map(str, command)], check=True, capture_output=True)


class Ingest(telemetry_pb2_grpc.TelemetryServicer):
    """Keeps every message; `held` by seq is what a status would hold. Survives `stop` and `start` on one port."""

    def __init__(self, certificates: Certificates) -> None:
        self._certificates = certificates
        self.port = 0
        self.held: dict[int, pb.ReportRequest] = {}
        self.received: list[int] = []
        self.tokens: list[str] = []
        self.acks = True
        self.rejection: grpc.StatusCode | None = None
        self.command = pb.Command()
        self.changed = threading.Condition()
        self._answers: list[queue.Queue[pb.ReportResponse | None]] = []
        self.start()

    def start(self) -> None:
        """Listens, again on the port of the first time."""
        self._server = grpc.server(futures.ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
        telemetry_pb2_grpc.add_TelemetryServicer_to_server(self, self._server)
        chain = [(self._certificates.key.read_bytes(), self._certificates.certificate.read_bytes())]
        self.port = self._server.add_secure_port(f"127.0.0.1:{self.port}", grpc.ssl_server_credentials(chain))
        self._server.start()

    def stop(self) -> None:
        """Goes away at once, as a killed process does."""
        self._server.stop(None).wait()

    def Report(
        self, requests: Iterator[pb.ReportRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.ReportResponse]:
        """Takes messages in order of their numbers, acknowledges each, and sends the command that is set."""
        self.tokens.append(dict(context.invocation_metadata()).get("authorization", ""))
        if self.rejection is not None:
            context.abort(self.rejection, "not now")
        answers: queue.Queue[pb.ReportResponse | None] = queue.Queue()
        self._answers.append(answers)
        threading.Thread(target=self._read, args=(requests, answers), daemon=True).start()
        while (answer := answers.get()) is not None:
            yield answer

    def push(self, command: pb.Command, attempt: int = 1) -> None:
        """Sends a command without being asked, on every open stream."""
        self.command = command
        for answers in self._answers:
            answers.put(pb.ReportResponse(attempt=attempt, command=command))

    def _read(self, requests: Iterator[pb.ReportRequest], answers: "queue.Queue[pb.ReportResponse | None]") -> None:
        with contextlib.suppress(Exception):  # the stream was cancelled, or its connection is gone
            for request in requests:
                with self.changed:
                    self.received.append(request.seq)
                    self.held.setdefault(request.seq, request)
                    self.changed.notify_all()
                if self.acks:
                    seq = request.seq
                    answers.put(pb.ReportResponse(attempt=request.attempt, acked_seq=seq, command=self.command))
        self._answers.remove(answers)
        answers.put(None)

    def steps(self) -> list[int]:
        """The steps of all points, in the order of message numbers."""
        with self.changed:
            return [point.step for seq in sorted(self.held) for point in self.held[seq].points]

    def wait_for(self, holds: Callable[[], object], seconds: float = 30) -> None:
        """Waits until a condition holds."""
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, f"waited {seconds} s; received {self.received}"
            time.sleep(0.02)
