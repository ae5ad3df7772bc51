"""Saves checkpoints beside training: tensors are copied to the host at once, files are written in a thread. Every rank
has a saver; of a model that is not sharded, rank 0 saves everything.

At most one save is in flight and saves are in order. An error surfaces at the next call; `close` waits for the last.
With a bucket, what was written goes there next (`uploader`), and a checkpoint is complete when it is there.
"""

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from polar import checkpoint, parts, retention
from polar.checkpoint import Buffers, CheckpointInfo, Snapshot, StagedSnapshot
from polar.distributed import Dist
from polar.parts import Persistence
from polar.pod import Pod
from polar.remote import Remote
from polar.retention import Keep
from polar.shard import is_sharded, part_of
from polar.team import Team
from polar.uploader import Uploader, set_aside, thin_out, upload_metrics
from polar.watch import WATCH

STEP_BYTES = 8  # AdamW's step count of a parameter
BEAT_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True)
class Home:
    """Where a run's checkpoints are. `remote`: the bucket, if there is one; `root` is then on the way there.

    `before`: config.resumeBeforeStep; checkpoints of later steps that were saved before the run went back are set aside
    when it saves again. `pod`: the ranks that share `root`, all when there is none.
    """

    root: Path
    remote: Remote | None = None
    before: int | None = None
    pod: Pod | None = None


class Saver:
    """The one writer below `root` in this process. Cleans up what an interrupted attempt left there (rank 0).

    Making one is collective. `keep`: which checkpoints stay.
    """

    def __init__(
        self, home: Home, *, keep: Keep, dist: Dist, before_commit: Callable[[], None] = lambda: None
    ) -> None:
        self._root, self._before, self._keep, self._dist = Path(home.root), home.before, keep, dist
        self._before_commit = before_commit
        self._buffers = Buffers()
        self._saves = 0
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._news: list[CheckpointInfo] | None = None
        self._ending = threading.Event()
        self._remote, pods = home.remote, home.pod and home.pod.ranks < dist.world_size
        self._persist = Persistence(self._ending) if home.remote and pods else None
        self._uploader = Uploader(home.remote, keep, home.before) if home.remote and dist.is_main else None
        if dist.is_main:
            retention.clean(self._root)
        self._token: str = dist.broadcast(secrets.token_hex(4))

    def prepare(self, model: nn.Module) -> None:
        """Starts making room for snapshots of a model and its AdamW state, so that the first save is as short."""
        parts = [part_of(parameter).tensor for parameter in model.parameters()]
        if not self._dist.is_main and not any(map(is_sharded, model.parameters())):
            return
        size, pinned = sum(part.nbytes for part in parts), self._dist.device.type == "cuda"

        def reserve() -> None:
            self._buffers.model.reserve(size, pinned)
            self._buffers.optimizer.reserve(2 * size + STEP_BYTES * len(parts), pinned)

        self._thread = threading.Thread(target=reserve, name="checkpoint-memory")
        self._thread.start()

    def submit(self, snapshot: Snapshot) -> None:
        """Starts saving a copy of `snapshot`; waits for the save before it. Raises what that one failed with."""
        sharded = any(is_sharded(tensor) for tensor in snapshot.model.values())
        if sharded and self._persist and self._dist.any(self._persist.in_trouble):
            self._persist.give_up()
        self.wait()
        if not sharded and not self._dist.is_main:
            return
        self._saves += 1
        token = f"{self._token}-{self._saves}"
        team = Team(
            rank=self._dist.rank if sharded else 0, ranks=self._dist.world_size if sharded else 1,
            token=token, folder=token if self._remote else None, ending=self._ending,
        )  # fmt: skip
        staged = checkpoint.stage(snapshot, self._buffers, team.is_main)
        save = self._save
        if sharded and self._persist:
            self._persist = Persistence(self._ending)
            save = self._save_parts
        self._thread = threading.Thread(target=save, args=(staged, team), name="checkpoint-saver")
        self._thread.start()

    def wait(self) -> None:
        """Waits for the save in flight. Raises what it failed with, once."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._raise_error()

    @property
    def busy(self) -> bool:
        """Whether a checkpoint is being written, old ones are removed after it, or it waits to be uploaded: another
        would only replace it."""
        writing = self._thread is not None and self._thread.is_alive()
        return writing or (self._uploader is not None and self._uploader.behind)

    def poll(self) -> list[CheckpointInfo] | None:
        """All complete checkpoints, oldest first, when a save has finished since the last call, else None.

        Raises what a finished save failed with. Never waits.
        """
        if self._thread is not None and not self._thread.is_alive():
            self.wait()
        if self._uploader:
            return self._uploader.poll()
        news, self._news = self._news, None
        return news

    def complete(self) -> list[CheckpointInfo]:
        """All complete checkpoints, oldest first; asks no bucket."""
        return self._uploader.complete if self._uploader else checkpoint.list_complete(self._root)

    def finish(self) -> None:
        """`close`, while the ranks hear from each other that it goes on: what they wait in has a limit. Collective."""
        self._ending.set()
        if self._uploader:
            self._uploader.end()
        if self._remote:
            while self._dist.any(self.busy or bool(self._uploader and self._uploader.busy)):
                WATCH.beat()
                time.sleep(BEAT_SECONDS)
        self.close()

    def close(self) -> None:
        """Waits for the save in flight, until it is in the bucket if there is one; raises what it failed with."""
        self._ending.set()
        self.wait()
        if self._uploader:
            self._uploader.finish()

    def _save(self, staged: StagedSnapshot, team: Team) -> None:
        try:
            if team.is_main:
                self._before_commit()
                if self._before:
                    retention.set_aside(self._root, self._before)
            info = checkpoint.write(self._root, staged, team)
            if info is None:
                return
            if self._uploader:
                self._uploader.offer(info)
                return
            self._news = checkpoint.list_complete(self._root)
            retention.collect_garbage(self._root, self._keep, verified_step=info.step)
            self._news = checkpoint.list_complete(self._root)
        except BaseException as error:
            self._error = error

    def _save_parts(self, staged: StagedSnapshot, team: Team) -> None:
        """Saves what ranks in different pods hold."""
        remote, persist = self._remote, self._persist
        assert remote and persist
        try:
            if team.is_main:
                self._before_commit()
                persist(lambda: set_aside(remote, self._before))
                persist(lambda: upload_metrics(remote))
            info = parts.write(remote, staged, team, persist)
            if info and self._uploader:
                self._uploader.tell(persist(lambda: thin_out(remote, self._keep, info)))
        except parts.GivenUpError:
            return
        except BaseException as error:
            self._error = error

    def _raise_error(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error

