"""A folder that is written whole or not at all: under another name first, then synced and renamed. It never replaces
one that is there."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from polar.durable import fsync_path, remove_tree, storage_errors
from polar.errors import ConfigError


@contextlib.contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """The folder to write into; it becomes `target` when the block ends well and is removed otherwise.

    ConfigError when `target` exists; StorageFullError or PolarError when storage fails.
    """
    _refuse_existing(target)
    temporary = target.with_name(f".tmp-{target.name}-{secrets.token_hex(4)}")
    with storage_errors(target.parent, f"writing {target}"):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary.mkdir()
            yield temporary
            for path in sorted(temporary.iterdir()):
                path.chmod(0o644)  # some libraries make files that only their owner can read
                fsync_path(path)
            fsync_path(temporary)
            _refuse_existing(target)
            temporary.rename(target)
        except BaseException:
            with contextlib.suppress(OSError):
                remove_tree(temporary)
            raise
        fsync_path(target.parent)


def _refuse_existing(target: Path) -> None:
    if os.path.lexists(target):
        raise ConfigError(f"{target}: exists already and is not overwritten")
