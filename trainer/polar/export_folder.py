"""A folder that is written whole or not at all: under another name first, then synced and renamed. It replaces another
only when told to."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from polar.durable import fsync_path, remove_tree, storage_errors
from polar.errors import ConfigError


@contextlib.contextmanager
def new_folder(target: Path, *, replace: bool = False) -> Iterator[Path]:
    """The folder to write into; it becomes `target` when the block ends well and is removed otherwise.

    With `replace` a folder of that name is removed just before. ConfigError when `target` exists otherwise;
    StorageFullError or PolarError when storage fails.
    """
    if not replace:
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
            if replace:
                remove_tree(target)
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
