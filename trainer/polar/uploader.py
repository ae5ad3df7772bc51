"""Brings checkpoints from the local folder to the bucket, in a thread of its own that training never waits for.

One is on its way; of those that wait the newest replaces the others, but not those that are to stay whatever comes
later (keepSteps, keepTokens). While the store is away the thread tries again: training goes on, and checkpoints that
wait stay in the local folder. A checkpoint is told of when its manifest is in the bucket.
"""

import sys
import threading
import time

from polar import retention
from polar.checkpoint import CheckpointInfo, list_complete
from polar.errors import PolarError
from polar.manifest import MANIFEST, is_of_this_past, parse_manifest
from polar.metrics_log import NAME as METRICS
from polar.patience import patiently
from polar.remote import Remote
from polar.retention import Keep
from polar.s3_errors import StoreDeniedError, StoreDownError

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 20.0
TOLD_SECONDS = 60.0
LAST_PATIENCE_SECONDS = 900.0  # without a byte, when nothing but this save keeps the process
TRANSIENT = (StoreDownError, StoreDeniedError)  # credentials may be mended, and training goes on either way


class Uploader:
    """The one writer below a bucket's prefix in this process. `before` is config.resumeBeforeStep.

    `complete` has the checkpoints in the bucket, oldest first, as they were last seen.
    """

    def __init__(self, remote: Remote, keep: Keep, before: int | None = None) -> None:
        self._remote, self._keep, self._before = remote, keep, before
        self._changed = threading.Condition()
        self._waiting: list[CheckpointInfo] = []
        self._going: CheckpointInfo | None = None
        self._ending = 0.0
        self._error: BaseException | None = None
        self._trouble: PolarError | None = None
        self._moved = time.monotonic()
        self._news: list[CheckpointInfo] | None = None
        patiently(remote.clean)
        self.complete: list[CheckpointInfo] = patiently(remote.complete)
        self._thread = threading.Thread(target=self._run, name="checkpoint-uploader", daemon=True)
        self._thread.start()

    def offer(self, info: CheckpointInfo) -> None:
        """Have a complete local checkpoint brought to the bucket, in the place of those that wait and need not stay."""
        with self._changed:
            self._waiting = [one for one in self._waiting if self._stays(one)] + [info]
            self._changed.notify_all()

    @property
    def behind(self) -> bool:
        """Whether one waits for another to get to the bucket."""
        return bool(self._waiting)

    @property
    def busy(self) -> bool:
        """Whether a checkpoint is on its way that is worth waiting for."""
        with self._changed:
            return bool(self._waiting or self._going) and not self._is_hopeless()

    def poll(self) -> list[CheckpointInfo] | None:
        """All checkpoints in the bucket when one was added since the last call, else None. Raises what went wrong."""
        with self._changed:
            error, self._error = self._error, None
            news, self._news = self._news, None
        if error is not None:
            raise error
        return news

    def end(self) -> None:
        """Say that nothing else keeps the process: from now on patience has an end."""
        self._ending = self._ending or time.monotonic()

    def finish(self) -> None:
        """Waits until all is in the bucket. Raises what went wrong, StoreDownError when the store stays away."""
        self.end()
        with self._changed:
            while self._waiting or self._going:
                self._changed.wait(1.0)
                if self._is_hopeless():
                    raise self._trouble or StoreDownError(f"{self._remote.bucket.uri()}: nothing moves")
            error, self._error = self._error, None
        if error is not None:
            raise error

    def _is_hopeless(self) -> bool:
        """Nothing else keeps the process, and nothing has moved for long."""
        return bool(self._ending) and time.monotonic() - max(self._moved, self._ending) > LAST_PATIENCE_SECONDS

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting:
                    self._changed.wait()
                self._going = self._waiting.pop(0)
            try:
                self._bring(self._going)
                self._prune()
            except BaseException as error:
                self._error = error
            with self._changed:
                self._going = None
                self._changed.notify_all()

    def _bring(self, info: CheckpointInfo) -> None:
        """Uploads one until it is there, or a newer one waits and this one need not stay."""
        pause, told = FIRST_PAUSE, 0.0
        while True:
            try:
                self._upload(info)
            except TRANSIENT as error:
                self._trouble = error
                if time.monotonic() - told > TOLD_SECONDS:
                    say(f"{error}. Training goes on; {info.name} is kept in {info.path.parent} and tried again")
                    told = time.monotonic()
            else:
                if told:
                    say(f"{self._remote.bucket.uri(info.name)} is there now")
                return
            with self._changed:
                replaced = self._changed.wait_for(lambda: self._waiting and not self._stays(info), pause)
                if replaced:
                    return
            pause = min(LONGEST_PAUSE, 1.6 * pause)

    def _upload(self, info: CheckpointInfo) -> None:
        remote = self._remote
        data = (info.path / MANIFEST).read_bytes()
        manifest = parse_manifest(info.path / MANIFEST, data)
        remote.upload(info.name, manifest, manifest.files, self._count)
        upload_metrics(remote)
        set_aside(remote, self._before)
        stored = remote.commit(info.name, data, say)
        self._moved = time.monotonic()
        self.tell(thin_out(remote, self._keep, stored))

    def tell(self, complete: list[CheckpointInfo]) -> None:
        """Say which checkpoints there are now."""
        self._news = self.complete = complete

    def _prune(self) -> None:
        """Removes local checkpoints but the newest and the one that waits, which may be written at this moment."""
        local = list_complete(self._remote.root)
        kept = {one.name for one in (*self._waiting, *local[-1:])}
        retention.remove(self._remote.root, [one.name for one in local if one.name not in kept])

    def _stays(self, info: CheckpointInfo) -> bool:
        """Whether a checkpoint is to get to the bucket even when newer ones are there already."""
        known = [*self.complete, *([self._going] if self._going else []), *self._waiting]
        return info.step in self._keep.listed(sorted(known, key=lambda one: one.step))

    def _count(self, _bytes: int) -> None:
        self._moved = time.monotonic()


def upload_metrics(remote: Remote) -> None:
    """Brings the curve to the bucket, as far as it is written."""
    if (metrics := remote.root / METRICS).exists():
        remote.bucket.upload(metrics, METRICS)


def set_aside(remote: Remote, before: int | None) -> None:
    """Hides the checkpoints that a run left when it went back to before a step."""
    for one in remote.complete() if before else ():
        if not is_of_this_past(one.step, one.resumed_before, before):
            remote.set_aside(one.name)


def thin_out(remote: Remote, keep: Keep, newest: CheckpointInfo) -> list[CheckpointInfo]:
    """Removes the checkpoints that do not stay, once a new one is there; those that are left, oldest first."""
    remote.bucket.put("LATEST", f"{newest.name}\n".encode())
    complete = remote.complete()
    doomed = [one for one in keep.doomed(complete) if one.step != newest.step]
    for one in doomed:
        remote.remove(one.name)
    return [one for one in complete if one not in doomed]


def say(line: str) -> None:
    """A line in the log of this process."""
    print(f"checkpoints: {line}", file=sys.stderr, flush=True)

