"""A real S3 server for tests: versitygw on a folder. `make test-s3` builds it."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest

VERSION = "v1.2.0"
ROOT = Path(__file__).parents[3]
KEYS = {"AWS_ACCESS_KEY_ID": "tester", "AWS_SECRET_ACCESS_KEY": "not-a-secret"}
BUCKET = "models"


class Server:
    """A server that can be stopped and started again on the same data and port."""

    def __init__(self, folder: Path) -> None:
        self.data, self.log = folder / "objects", folder / "s3.log"
        self.users, self.attributes = folder / "users", folder / "attributes"
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        for path in (self.data, self.users, self.attributes):
            path.mkdir(parents=True)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = ROOT / ".local" / "bin" / f"versitygw-{VERSION}"
        if not program.exists():
            pytest.fail(f"{program} is not built: run make test-s3")
        root = dict(zip(("ROOT_ACCESS_KEY", "ROOT_SECRET_KEY"), KEYS.values(), strict=True))
        environment = {**os.environ, **root}
        address, attributes = f"127.0.0.1:{self.port}", str(self.attributes)
        arguments = ["--port", address, "--iam-dir", str(self.users), "posix", "--sidecar", attributes, str(self.data)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen([str(program), *arguments], env=environment, stdout=log, stderr=log)
        deadline = time.monotonic() + 20
        while not listening(self.port):
            assert self._process.poll() is None and time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)

    def stop(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
        self._process = None

    def client(self) -> Any:
        return boto3.client(
            "s3", endpoint_url=self.endpoint, region_name="us-east-1", aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        )


@contextmanager
def running(folder: Path) -> Iterator[Server]:
    """A started server with an empty bucket."""
    server = Server(folder)
    server.start()
    try:
        server.client().create_bucket(Bucket=BUCKET)
        yield server
    finally:
        server.stop()


def listening(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
