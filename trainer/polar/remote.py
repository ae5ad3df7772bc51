"""A run's checkpoints in a bucket. A checkpoint is there when its manifest is; there is no rename and none is needed.

    <prefix>/step-00000500/manifest.json                 written last, and only if no other one is there
    <prefix>/step-00000500/<folder>/model.safetensors    and the other files; the manifest names the folder, which is
                                                         new for each save, so that two attempts never write one object
    <prefix>/metrics.jsonl   <prefix>/export/...

Removal begins with the manifest. What no manifest names was left by a save or removal that was interrupted.
"""

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from polar import manifest as manifests
from polar.checkpoint import STEP_NAME, CheckpointInfo, describe, step_of
from polar.config_runtime import S3, Checkpoint
from polar.durable import sha256_of
from polar.errors import CheckpointError, PolarError
from polar.manifest import MANIFEST, Manifest
from polar.s3_errors import NoSuchObjectError

ASIDE = re.compile(r"aside-[a-z0-9-]+\.json")
Moved = Callable[[int], None]


def ignored(_count: int) -> None:
    """For those who do not count bytes."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """A checkpoint in the bucket whose manifest could be read; its files may still be missing or damaged."""

    info: CheckpointInfo
    manifest: Manifest
    data: bytes


class Remote:
    """The checkpoints below one prefix. `root` is the local folder that they are brought to."""

    def __init__(self, s3: S3, root: Path) -> None:
        from polar.s3 import Bucket  # noqa: PLC0415 - half a second of imports that runs on a volume do without

        self.bucket, self.root = Bucket(s3), Path(root)

    def brought_to(self, root: Path) -> "Remote":
        """The same checkpoints with another local folder."""
        other = object.__new__(Remote)
        other.bucket, other.root = self.bucket, root
        return other

    def names(self) -> list[str]:
        """Names of the checkpoints that have a manifest, oldest first."""
        return steps_in(self.bucket.list("step-"))

    def complete(self) -> list[CheckpointInfo]:
        """The checkpoints with a readable manifest, oldest first."""
        found = []
        for name in self.names():
            try:
                found.append(self.find(name).info)
            except CheckpointError:
                continue
        return found

    def find(self, name: str) -> Found:
        """A checkpoint by its name. CheckpointError when its manifest is missing or wrong."""
        where = self.bucket.uri(f"{name}/{MANIFEST}")
        try:
            data = self.bucket.get(f"{name}/{MANIFEST}")
        except NoSuchObjectError as error:
            raise CheckpointError(f"{where}: no such object") from error
        manifest = manifests.parse_manifest(where, data)
        return Found(info=describe(self.root / name, manifest), manifest=manifest, data=data)

    def upload(self, name: str, manifest: Manifest, files: Iterable[str], moved: Moved = ignored) -> None:
        """Writes files of a local checkpoint; those that an earlier try brought are left."""
        folder = folder_of(name, manifest)
        there = self.bucket.list(folder)
        for file in files:
            if there.get(folder + file) != manifest.files[file]["size"]:
                self.bucket.upload(self.root / name / file, folder + file, moved)

    def commit(self, name: str, data: bytes, say: Callable[[str], None]) -> CheckpointInfo:
        """Writes the manifest, which makes the checkpoint complete, unless a good one of that name is there.

        Raises PolarError when that one differs: another attempt saves here too.
        """
        key = f"{name}/{MANIFEST}"
        written = manifests.parse_manifest(self.bucket.uri(key), data)
        while not self.bucket.create(key, data):
            try:
                present = self.find(name).manifest
                if present.sha256 == written.sha256:  # the answer to an earlier try was lost
                    break
                self.verify(name, present)
            except CheckpointError as error:
                say(f"replacing a damaged checkpoint: {error}")
                self.bucket.delete(key)
                continue
            if others := manifests.differing(present, written):
                where = self.bucket.uri(name)
                raise PolarError(f"{where}: exists and differs in {', '.join(others)}; not overwritten")
            self._delete_all(folder_of(name, written))
            return describe(self.root / name, present)
        return describe(self.root / name, written)

    def fetch(self, name: str, manifest: Manifest, files: Iterable[str], moved: Moved = ignored) -> None:
        """Brings files of a checkpoint to the local folder and verifies them there. CheckpointError names a bad one.

        The local manifest is the caller's to write, when all files are there.
        """
        target = self.root / name
        target.mkdir(parents=True, exist_ok=True)
        for file in files:
            if not self._is_here(target / file, manifest, file):
                self._bring(target, manifest, file, moved)

    def verify(self, name: str, manifest: Manifest, moved: Moved = ignored) -> None:
        """Reads and hashes all of a checkpoint where it lies. CheckpointError for the first bad file."""
        self.check_sizes(name, manifest)
        for file, wanted in manifest.files.items():
            digest = hashlib.sha256()
            for chunk in self.bucket.chunks(folder_of(name, manifest) + file):
                digest.update(chunk)
                moved(len(chunk))
            manifests.check_hash(self._where(name, manifest, file), wanted, digest.hexdigest())

    def check_sizes(self, name: str, manifest: Manifest) -> None:
        """CheckpointError for the first file that is missing or has another size; nothing is read."""
        folder = folder_of(name, manifest)
        there = self.bucket.list(folder)
        for file, wanted in manifest.files.items():
            if folder + file not in there:
                raise CheckpointError(f"{self._where(name, manifest, file)}: no such object")
            manifests.check_size(self._where(name, manifest, file), wanted, there[folder + file])

    def remove(self, name: str) -> None:
        """Removes a checkpoint, its manifest first."""
        self.bucket.delete(f"{name}/{MANIFEST}")
        self._delete_all(f"{name}/")

    def set_aside(self, name: str) -> None:
        """Hides a checkpoint from all that look for one; its files and manifest stay."""
        data = self.bucket.get(f"{name}/{MANIFEST}")
        self.bucket.put(f"{name}/aside-{hashlib.sha256(data).hexdigest()[:8]}.json", data)
        self.bucket.delete(f"{name}/{MANIFEST}")

    def clean(self) -> list[str]:
        """Removes what interrupted saves and removals left and returns the keys. Not while another saves here."""
        self.bucket.abort_uploads()
        objects = self.bucket.list("step-")
        named = {folder for key in objects if is_manifest(key) for folder in self._named_by(key)}
        left = [key for key in objects if not is_manifest(key) and (_is_note(key) or not key.startswith(tuple(named)))]
        doomed = [key for key in left if STEP_NAME.match(key.partition("/")[0])]
        for key in doomed:
            self.bucket.delete(key)
        return doomed

    def upload_folder(self, folder: Path, key: str, last: str, moved: Moved = ignored) -> None:
        """Makes the objects below `key` those of a local folder; the file `last` is there only when all others are."""
        files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
        self.bucket.delete(f"{key}/{last}")
        for name in sorted(files, key=lambda name: (name == last, name)):
            self.bucket.upload(files[name], f"{key}/{name}", moved)
        for other in self.bucket.list(f"{key}/"):
            if other.removeprefix(f"{key}/") not in files:
                self.bucket.delete(other)

    def _named_by(self, key: str) -> Iterable[str]:
        try:
            yield folder_of(key.partition("/")[0], manifests.parse_manifest(key, self.bucket.get(key)))
        except (CheckpointError, NoSuchObjectError):  # unreadable: whatever is there may be its
            yield key.partition("/")[0] + "/"

    def _is_here(self, path: Path, manifest: Manifest, file: str) -> bool:
        wanted = manifest.files[file]
        if not path.is_file() or path.is_symlink() or path.stat().st_size != wanted["size"]:
            return False
        return sha256_of(path) == wanted["sha256"]

    def _bring(self, target: Path, manifest: Manifest, file: str, moved: Moved) -> None:
        where, wanted = self._where(target.name, manifest, file), manifest.files[file]
        temporary = target / f".tmp-{file}"
        try:
            self.bucket.download(folder_of(target.name, manifest) + file, temporary, moved)
            manifests.check_size(where, wanted, temporary.stat().st_size)
            manifests.check_hash(where, wanted, sha256_of(temporary))
        except NoSuchObjectError as error:
            raise CheckpointError(f"{where}: no such object") from error
        except CheckpointError:
            temporary.unlink()
            raise
        temporary.rename(target / file)

    def _where(self, name: str, manifest: Manifest, file: str) -> str:
        return self.bucket.uri(folder_of(name, manifest) + file)

    def _delete_all(self, start: str) -> None:
        for key in self.bucket.list(start):
            self.bucket.delete(key)


def _is_note(key: str) -> bool:
    """Whether ranks in different pods wrote it to each other (see `parts`)."""
    return key.rpartition("/")[2].startswith(".part-")


def remote_of(options: Checkpoint) -> Remote | None:
    """The bucket a run saves to, if it saves to one."""
    return Remote(options.s3, Path(options.directory)) if options.s3 else None


def folder_of(name: str, manifest: Manifest) -> str:
    """Where a checkpoint's files are, as the beginning of their keys."""
    return f"{name}/{manifest.folder}/" if manifest.folder else f"{name}/"


def is_manifest(key: str) -> bool:
    """Whether it is a checkpoint's manifest, of one set aside too."""
    step, _, file = key.partition("/")
    return bool(STEP_NAME.match(step)) and (file == MANIFEST or bool(ASIDE.fullmatch(file)))


def steps_in(keys: Iterable[str]) -> list[str]:
    """Names of the step folders that have a manifest, oldest first."""
    named = [name for name, _, file in (key.partition("/") for key in keys) if file == MANIFEST]
    return sorted((name for name in named if STEP_NAME.match(name)), key=step_of)
