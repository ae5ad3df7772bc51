"""Files that survive a crash: write, fsync, rename, fsync the directory. Knows nothing of checkpoints.

Storage errors come out as errors a person can act on: no space and no quota as StorageFullError, the rest naming the
path and the system's reason.
"""

import contextlib
import errno
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypedDict

from polar.errors import PolarError, StorageFullError

NO_SPACE = {errno.ENOSPC, errno.EDQUOT}
CHUNK_BYTES = 1 << 22


class Entry(TypedDict):
    """What a manifest says of a file."""

    size: int
    sha256: str


def fsync_path(path: Path) -> None:
    """Forces a file or directory to stable storage."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_chunks(path: Path, chunks: Iterable[memoryview]) -> Entry:
    """Writes a new file and fsyncs it, and hashes it on the way; the directory is the caller's to fsync."""
    digest, size = hashlib.sha256(), 0
    with path.open("xb", buffering=0) as file:
        for chunk in chunks:
            digest.update(chunk)
            size += len(chunk)
            left = chunk
            while left:
                left = left[file.write(left) :]
        os.fsync(file.fileno())
    return {"size": size, "sha256": digest.hexdigest()}


def write_file(path: Path, data: bytes) -> Entry:
    """`write_chunks` of one chunk."""
    return write_chunks(path, [memoryview(data)])


def replace_file(path: Path, data: bytes) -> None:
    """Replaces a file's content atomically: after a crash it holds the old or the new bytes."""
    temporary = path.with_name(f".tmp-{path.name}-{secrets.token_hex(4)}")
    try:
        write_file(temporary, data)
        temporary.rename(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    fsync_path(path.parent)


def remove_tree(path: Path) -> None:
    """Removes a directory and what is in it; one that is already gone is fine."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(path)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, as hex."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


@contextlib.contextmanager
def storage_errors(root: Path, doing: str) -> Iterator[None]:
    """Turns storage errors inside the block into StorageFullError or a PolarError that says what was being done."""
    try:
        yield
    except PolarError:
        raise
    except Exception as error:
        number = error_number(error)
        if number is None:
            raise
        raise _explained(root, doing, number) from error


def error_number(error: BaseException) -> int | None:
    """The errno of an OSError, or of a library's error that only has it in its text (safetensors), else None."""
    if isinstance(error, OSError):
        return error.errno
    found = re.search(r"os error (\d+)", str(error))
    return int(found[1]) if found else None


def _explained(root: Path, doing: str, number: int) -> PolarError:
    what = f"{doing}: {os.strerror(number)}"
    if number not in NO_SPACE:
        return PolarError(what)
    with contextlib.suppress(OSError):
        usage = shutil.disk_usage(root)
        what += f" (the volume of {root} has {usage.free >> 20} MiB free of {usage.total >> 20} MiB)"
    return StorageFullError(f"{what}. Make room or use a larger volume; earlier checkpoints are intact.")
