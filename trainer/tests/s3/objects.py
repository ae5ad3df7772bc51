"""Checkpoints in a bucket without training: what is saved, and what reads it back."""

from pathlib import Path

import torch
from s3_server import BUCKET, Server

from polar.checkpoint import Loaded, Snapshot
from polar.config_runtime import S3
from polar.distributed import Dist
from polar.fetch import load_from_bucket
from polar.pod import Pod
from polar.remote import Remote
from polar.retention import Keep
from polar.saver import Home, Saver


def a_snapshot(step: int = 100, *, seed: int = 0, val_loss: float | None = 0.5, before: int = 0) -> Snapshot:
    generator = torch.Generator().manual_seed(seed)
    return Snapshot(
        step=step, tokens=step * 1000, model={"w": torch.randn(8, 8, generator=generator)},
        optimizer={"w.exp_avg": torch.randn(8, 8, generator=generator)}, rng={"rank0.cpu": torch.get_rng_state()},
        state={"dataCursor": 7}, config={"resumeBeforeStep": before} if before else {}, tokenizer_json="{}",
        val_loss=val_loss,
    )  # fmt: skip


def remote_in(server: Server, root: Path, name: str | None = None) -> Remote:
    """The bucket of a run whose prefix is the name of the folder that its root is in."""
    prefix = f"team/{name or root.parent.name}"
    return Remote(S3(bucket=BUCKET, prefix=prefix, endpoint=server.endpoint), root)


def saver_of(remote: Remote, keep: Keep | None = None, *, before: int | None = None) -> Saver:
    return Saver(Home(root=remote.root, remote=remote, before=before), keep=keep or Keep(last=10, best=0), dist=Dist())


def save(remote: Remote, *snapshots: Snapshot, last: int = 10, before: int | None = None) -> list[int]:
    """Saves one after the other and returns the steps that are in the bucket."""
    saver = saver_of(remote, Keep(last=last, best=0), before=before)
    for snapshot in snapshots:
        saver.submit(snapshot)
        saver.close()
    return [one.step for one in saver.complete()]


def load(remote: Remote, before: int | None = None) -> Loaded | None:
    return load_from_bucket(remote, Dist(), Pod(), before)
