"""A bucket of an S3-compatible store, below one prefix. Knows nothing of checkpoints.

Every request body is signed with its SHA-256, so the store refuses what was damaged on the way, whatever checksums it
knows. Big files go in parts, from and to disk, a few at a time: memory does not grow with them. A request is repeated
a few times; what is left to the caller is a store that is away for longer. Errors are those of `s3_errors`.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ProxyConnectionError,
    SSLError,
)

from polar.config_runtime import S3
from polar.s3_errors import NoSuchObjectError, Place, StoreDeniedError, StoreDownError, code_in, of_answer, status_in

PART_BYTES = 1 << 26
AT_ONCE = 4
CONNECT_SECONDS, READ_SECONDS = 10, 60
TRIES = 4
MAX_TEXT_BYTES = 1 << 28
NO_CONDITIONS = {400, 405, 501}  # answers of stores that know no conditional writes


class Bucket:
    """Objects by their key below `prefix`. `moved`, when given, is called with every number of bytes transferred."""

    def __init__(self, s3: S3) -> None:
        self.name, self.prefix = s3.bucket, s3.prefix.strip("/")
        self.endpoint = s3.endpoint or "AWS"
        self._client: Any = _client(s3)
        self._transfer = TransferConfig(
            multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES, max_concurrency=AT_ONCE
        )

    def at(self, prefix: str) -> "Bucket":
        """The same bucket below another prefix."""
        other = object.__new__(Bucket)
        other.__dict__.update(self.__dict__, prefix=prefix.strip("/"))
        return other

    def uri(self, key: str = "") -> str:
        """s3://bucket/prefix/key"""
        return f"s3://{self.name}/{self._key(key)}".rstrip("/")

    def list(self, start: str = "") -> dict[str, int]:
        """Size of every object whose key begins with `start`."""
        found: dict[str, int] = {}
        with self._explained("listing", start):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=self._key(start))
            cut = len(self._key(""))
            for page in pages:
                found.update((one["Key"][cut:], int(one["Size"])) for one in page.get("Contents", ()))
        return found

    def get(self, key: str) -> bytes:
        """A small object. NoSuchObjectError when it is not there."""
        return b"".join(self.chunks(key, MAX_TEXT_BYTES))

    def chunks(self, key: str, most: int | None = None) -> Iterator[bytes]:
        """An object's content as it comes, or its first `most` bytes."""
        with self._explained("reading", key):
            limit = {} if most is None else {"Range": f"bytes=0-{most - 1}"}
            try:
                body = self._client.get_object(Bucket=self.name, Key=self._key(key), **limit)["Body"]
            except ClientError as error:
                if status_in(error.response) == 416:  # an empty object has no range
                    return
                raise
            yield from body.iter_chunks(1 << 20)

    def put(self, key: str, data: bytes) -> None:
        """Writes a small object."""
        with self._explained("writing", key):
            self._client.put_object(Bucket=self.name, Key=self._key(key), Body=data)

    def create(self, key: str, data: bytes) -> bool:
        """Writes a small object unless one of that key is there; whether it did. Of several at once, one does."""
        with self._explained("writing", key):
            try:
                self._client.put_object(Bucket=self.name, Key=self._key(key), Body=data, IfNoneMatch="*")
            except ClientError as error:
                if status_in(error.response) == 412 or code_in(error.response) == "PreconditionFailed":
                    return False
                if status_in(error.response) not in NO_CONDITIONS:
                    raise  # among it 409: another write was in progress, try again
            else:
                return True
        if self.exists(key):
            return False
        self.put(key, data)
        return True

    def exists(self, key: str) -> bool:
        """Whether an object is there."""
        try:
            with self._explained("looking for", key):
                self._client.head_object(Bucket=self.name, Key=self._key(key))
        except NoSuchObjectError:
            return False
        return True

    def upload(self, path: Path, key: str, moved: Callable[[int], None] | None = None) -> None:
        """Writes a file as an object."""
        with self._explained("writing", key):
            self._client.upload_file(str(path), self.name, self._key(key), Config=self._transfer, Callback=moved)

    def download(self, key: str, path: Path, moved: Callable[[int], None] | None = None) -> None:
        """Reads an object into a file. Says nothing of its content: verify it."""
        with self._explained("reading", key):
            self._client.download_file(self.name, self._key(key), str(path), Config=self._transfer, Callback=moved)

    def delete(self, key: str) -> None:
        """Removes an object; one that is not there is fine."""
        with self._explained("removing", key):
            self._client.delete_object(Bucket=self.name, Key=self._key(key))

    def abort_uploads(self) -> int:
        """Ends multipart uploads that a killed process left open, which cost room; how many."""
        try:
            with self._explained("looking for unfinished uploads", ""):
                page = self._client.list_multipart_uploads(Bucket=self.name, Prefix=self._key(""))
                uploads = page.get("Uploads", ())
                for one in uploads:
                    self._client.abort_multipart_upload(Bucket=self.name, Key=one["Key"], UploadId=one["UploadId"])
                return len(uploads)
        except StoreDownError:
            raise
        except Exception:  # a right that saving does not need
            return 0

    def _explained(self, doing: str, key: str) -> Any:
        return explained(doing, Place(self.name, self.endpoint, self._key(key)))

    def _key(self, key: str) -> str:
        return f"{self.prefix}/{key}" if self.prefix else key


@contextlib.contextmanager
def explained(doing: str, place: Place) -> Iterator[None]:
    """Turns errors of the client library inside the block into those of `s3_errors`."""
    try:
        yield
    except ClientError as error:
        raise of_answer(doing, place, error.response) from error
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise StoreDeniedError(
            f"{doing} {place}: no credentials ({error}). Name a Secret with AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY in checkpoint.store.s3.credentialsSecretRef, or give the pods a workload identity"
        ) from error
    except Boto3Error as error:  # of a transfer, around the error that says why
        cause = error.__cause__ or error.__context__
        if not isinstance(cause, ClientError):
            raise StoreDownError(f"{doing} {place}: {error}") from error
        raise of_answer(doing, place, cause.response) from error
    except SSLError as error:
        raise StoreDownError(f"{doing} {place}: TLS failed ({error}). Check the certificate of the endpoint") from error
    except ProxyConnectionError as error:
        raise StoreDownError(f"{doing} {place}: {error}. Check HTTPS_PROXY and NO_PROXY") from error
    except BotoCoreError as error:
        hint = "Check checkpoint.store.s3.endpoint and that pods may reach it (DNS, network policy)"
        raise StoreDownError(f"{doing} {place}: not reachable ({error}). {hint}") from error


def _client(s3: S3) -> Any:
    own = s3.endpoint is not None
    options: Any = {"addressing_style": "path" if own else "auto", "payload_signing_enabled": True}
    return boto3.session.Session().client(
        "s3", endpoint_url=s3.endpoint, region_name=s3.region or os.environ.get("AWS_REGION") or "us-east-1",
        config=Config(
            s3=options, retries={"mode": "standard", "total_max_attempts": TRIES}, connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS, request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )  # fmt: skip
