"""What went wrong with an object store, as errors that name bucket, key and endpoint and say what to check.

StoreDownError: it may work later (network, 5xx, throttling). StoreDeniedError, a ConfigError: it will not, unless
somebody changes credentials, rights or names. StorageFullError: a quota. NoSuchObjectError: the object is not there.
"""

from dataclasses import dataclass
from typing import Any

from polar.errors import ConfigError, PolarError, StorageFullError

DENIED = {"AccessDenied", "AllAccessDisabled", "AccountProblem"}
UNKNOWN_KEY = {
    "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken", "TokenRefreshRequired",
    "InvalidSecurity", "AuthorizationHeaderMalformed", "NotSignedUp",
}  # fmt: skip
FULL = {"QuotaExceeded", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "InsufficientStorage", "EntityTooLarge"}
ABSENT = {"NoSuchKey", "NotFound", "404"}
RIGHTS = "s3:ListBucket on the bucket; s3:GetObject, s3:PutObject and s3:DeleteObject on its objects"


class StoreDownError(PolarError):
    """The store cannot be reached or cannot answer now."""


class StoreDeniedError(ConfigError):
    """The store refuses: bucket, credentials or rights have to be changed."""


class NoSuchObjectError(PolarError):
    """The object is not there."""


@dataclass(frozen=True, slots=True)
class Place:
    """What a request is about, for messages."""

    bucket: str
    endpoint: str
    key: str = ""

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key} at {self.endpoint}"


def of_answer(doing: str, place: Place, answer: dict[str, Any]) -> PolarError:
    """The error for a store's answer, as the client library gives it."""
    code, status = code_in(answer), status_in(answer)
    message = str(answer.get("Error", {}).get("Message") or "no reason given").rstrip(".")
    said = f"{doing} {place}: {status} {code}: {message}"
    if (denied := _denied(code, status, place)) is not None:
        return StoreDeniedError(f"{said}. {denied}")
    if code in FULL or status == 507:
        return StorageFullError(f"{said}. Make room in the bucket or raise its quota; earlier checkpoints are intact")
    if code in ABSENT or status == 404:
        return NoSuchObjectError(said)
    return StoreDownError(said)


def status_in(answer: dict[str, Any]) -> int:
    """HTTP status of an answer, 0 when there was none."""
    return int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def code_in(answer: dict[str, Any]) -> str:
    """The store's code of an answer, such as NoSuchKey."""
    return str(answer.get("Error", {}).get("Code", ""))


def _denied(code: str, status: int, place: Place) -> str | None:
    """What to change when the store refuses, None when it does not."""
    if code == "NoSuchBucket":
        return f"Create the bucket {place.bucket}, or correct checkpoint.store.s3.bucket"
    if code in UNKNOWN_KEY or status == 401:
        where = "checkpoint.store.s3.credentialsSecretRef"
        return f"Check key, secret and session token in {where}, and the region"
    if code in DENIED or status == 403:
        return f"The credentials need {RIGHTS}"
    if code in ("PermanentRedirect", "IllegalLocationConstraintException") or status == 301:
        return "The bucket is in another region: set checkpoint.store.s3.region"
    return None
