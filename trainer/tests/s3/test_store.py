"""Checkpoints in a bucket as their readers see them: complete or absent, verified before use, whoever else saves."""

import json
import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from objects import a_snapshot, load, remote_in, save, saver_of
from s3_server import BUCKET, KEYS, Server, free_port, running

from polar import patience
from polar.checkpoint import save as save_in_folder
from polar.config_runtime import S3
from polar.errors import CheckpointError, PolarError
from polar.manifest import FILES, MANIFEST
from polar.remote import Remote
from polar.retention import Keep
from polar.s3 import Bucket
from polar.s3_errors import StoreDeniedError, StoreDownError
from polar.team import Team


@pytest.fixture
def remote(tmp_path: Path, server: Server) -> Remote:
    return remote_in(server, tmp_path / "out")


def folder(server: Server, tmp_path: Path) -> Path:
    return server.data / BUCKET / "team" / tmp_path.name


def object_of(server: Server, tmp_path: Path, step: int, name: str) -> Path:
    (found,) = (folder(server, tmp_path) / f"step-{step:08d}").rglob(name)
    return found


def loaded_step(remote: Remote) -> int | None:
    shutil.rmtree(remote.root, ignore_errors=True)
    loaded = load(remote)
    return loaded.info.step if loaded else None


def test_a_checkpoint_comes_back_bit_for_bit_in_a_new_pod(remote: Remote, tmp_path: Path, server: Server) -> None:
    saved = a_snapshot()
    assert save(remote, saved) == [100]
    shutil.rmtree(remote.root)
    found = load(remote)
    assert found is not None
    for name in ("model", "optimizer", "rng"):
        want, got = getattr(saved, name), getattr(found, name)
        assert want.keys() == got.keys() and all(torch.equal(want[key], got[key]) for key in want)
    assert (folder(server, tmp_path) / "LATEST").read_text() == "step-00000100\n"


def test_nothing_is_downloaded_that_the_folder_still_has(remote: Remote) -> None:
    save(remote, a_snapshot())
    before = {path.name: path.stat().st_ino for path in (remote.root / "step-00000100").iterdir()}
    assert load(remote) is not None
    after = {path.name: path.stat().st_ino for path in (remote.root / "step-00000100").iterdir()}
    assert {name: after[name] for name in FILES} == {name: before[name] for name in FILES}


def test_there_is_nothing_to_start_from_in_an_empty_bucket(remote: Remote) -> None:
    assert load(remote) is None


@pytest.mark.parametrize("name", ["model.safetensors", "state.json", MANIFEST])
@pytest.mark.parametrize("how", ["cut", "changed", "gone"])
def test_a_damaged_object_is_noticed_and_the_checkpoint_before_is_used(
    remote: Remote, tmp_path: Path, server: Server, name: str, how: str
) -> None:
    save(remote, a_snapshot(100), a_snapshot(200))
    path = object_of(server, tmp_path, 200, name)
    data = path.read_bytes()
    if how == "gone":
        path.unlink()
    else:
        middle = len(data) // 2
        rest = b"" if how == "cut" else bytes([data[middle] ^ 1]) + data[middle + 1 :]
        path.write_bytes(data[:middle] + rest)
    shutil.rmtree(remote.root)
    found = load(remote)
    assert found is not None and found.info.step == 100
    told = (how, name) != ("gone", MANIFEST)  # without a manifest it is no checkpoint
    assert len(found.problems) == told and all(name in problem for problem in found.problems)


def test_a_run_whose_checkpoints_are_all_damaged_does_not_begin_anew(
    remote: Remote, tmp_path: Path, server: Server
) -> None:
    save(remote, a_snapshot())
    object_of(server, tmp_path, 100, "model.safetensors").write_bytes(b"damaged")
    shutil.rmtree(remote.root)
    with pytest.raises(CheckpointError, match=r"no checkpoint in s3://models/team/.* verifies .*\d+ bytes, got 7"):
        load(remote)


def test_a_damaged_checkpoint_is_replaced_when_its_step_is_saved_again(
    remote: Remote, tmp_path: Path, server: Server
) -> None:
    save(remote, a_snapshot())
    object_of(server, tmp_path, 100, "model.safetensors").write_bytes(b"damaged")
    shutil.rmtree(remote.root)
    assert save(remote, a_snapshot()) == [100]
    assert loaded_step(remote) == 100


def test_of_two_attempts_that_save_one_step_one_wins_and_other_weights_are_refused(
    remote: Remote, tmp_path: Path, server: Server
) -> None:
    other = remote_in(server, tmp_path / "other", tmp_path.name)
    first, second = saver_of(remote), saver_of(other)
    # One after the other: the gateway looks whether an object exists and then writes it, which is two steps.
    for saver in (first, second):
        saver.submit(a_snapshot())
        saver.close()
    assert loaded_step(remote) == 100
    assert len(list((folder(server, tmp_path) / "step-00000100").iterdir())) == 2  # a manifest and what it names
    shutil.rmtree(other.root)
    third = saver_of(other)
    third.submit(a_snapshot(seed=1))
    with pytest.raises(PolarError, match=r"step-00000100: exists and differs in model\.safetensors") as caught:
        third.close()
    assert caught.value.exit_code == 1
    assert loaded_step(remote) == 100


def test_two_attempts_that_save_one_step_at_once_leave_a_whole_checkpoint(
    remote: Remote, server: Server, tmp_path: Path
) -> None:
    savers = [saver_of(remote), saver_of(remote_in(server, tmp_path / "other", tmp_path.name))]
    for saver in savers:
        saver.submit(a_snapshot())
    for saver in savers:
        saver.close()
    assert loaded_step(remote) == 100


def test_only_the_first_writer_creates_an_object(remote: Remote) -> None:
    outcomes = [remote.bucket.create("race", b"%d" % n) for n in range(3)]
    assert outcomes == [True, False, False]
    assert remote.bucket.get("race") == b"0"


def killed_at(point: str, prefix: S3, root: Path) -> None:
    """A process that saves step 200 and is killed before its first part, before its manifest, or right after it."""
    real_upload, real_create = Bucket.upload, Bucket.create

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def upload(self: Bucket, path: Path, key: str, moved: Any = None) -> None:
        if point == "parts" and key.endswith("optimizer.safetensors"):
            die()
        real_upload(self, path, key, moved)

    def create(self: Bucket, key: str, data: bytes) -> bool:
        if point == "manifest":
            die()
        done = real_create(self, key, data)
        die()
        return done

    Bucket.upload, Bucket.create = upload, create  # type: ignore[method-assign]
    save(Remote(prefix, root), a_snapshot(200))


@pytest.mark.parametrize("point", ["parts", "manifest", "after"])
@pytest.mark.parametrize("folder_is_left", [False, True])
def test_a_save_that_is_killed_is_the_old_checkpoint_or_the_new_one(
    remote: Remote, tmp_path: Path, server: Server, point: str, folder_is_left: bool
) -> None:
    save(remote, a_snapshot(100))
    place = S3(bucket=BUCKET, prefix=f"team/{tmp_path.name}", endpoint=server.endpoint)
    saving = multiprocessing.get_context("fork").Process(target=killed_at, args=(point, place, remote.root))
    saving.start()
    saving.join(60)
    assert saving.exitcode == -signal.SIGKILL
    if not folder_is_left:
        shutil.rmtree(remote.root)
    found = load(remote)
    assert found is not None and found.problems == ()
    assert found.info.step == (200 if point == "after" or folder_is_left else 100)
    save(remote, a_snapshot(200))
    assert loaded_step(remote) == 200
    entries = list((folder(server, tmp_path) / "step-00000200").iterdir())
    assert len(entries) == 2, "leftovers of the killed save are removed"


def test_training_goes_on_while_the_store_is_away_and_the_newest_checkpoint_is_brought_later(tmp_path: Path) -> None:
    with running(tmp_path / "s3") as server:
        remote = remote_in(server, tmp_path / "out")
        saver = saver_of(remote)
        saver.submit(a_snapshot(100))
        saver.close()
        server.stop()
        for step in (200, 300, 400):
            began = time.monotonic()
            saver.submit(a_snapshot(step))
            saver.wait()
            assert time.monotonic() - began < 5 and saver.poll() in (None, saver.complete())
        assert (remote.root / "step-00000400" / MANIFEST).exists()
        assert [one.step for one in saver.complete()] == [100]
        threading.Timer(2, server.start).start()
        saver.close()
        assert [one.step for one in saver.complete()][-1] == 400
        assert loaded_step(remote) == 400


def test_branch_points_that_wait_for_the_store_are_all_brought_there_later(tmp_path: Path) -> None:
    with running(tmp_path / "s3") as server:
        keep = Keep(last=1, best=0, steps=lambda: [200], tokens=(350_000,))
        saver = saver_of(remote_in(server, tmp_path / "out"), keep)
        server.stop()
        for step in (100, 200, 300, 400, 500, 600):
            saver.submit(a_snapshot(step))
            saver.wait()
        threading.Timer(1, server.start).start()
        saver.close()
        assert [one.step for one in saver.complete()] == [200, 400, 600]


def test_a_start_waits_for_a_store_that_is_away_and_says_in_the_end_what_to_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "START_SECONDS", 1.0)
    place = S3(bucket=BUCKET, prefix="team/run", endpoint=f"http://127.0.0.1:{free_port()}")
    with pytest.raises(StoreDownError, match=r"not reachable .*Check checkpoint\.store\.s3\.endpoint") as caught:
        patience.patiently(Remote(place, tmp_path).names, 1.0)
    assert caught.value.exit_code == 1


def forget_keys(patch: pytest.MonkeyPatch) -> None:
    for name in KEYS:
        patch.delenv(name)


WRONG: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], str, str]] = {
    "secret": (
        lambda patch: patch.setenv("AWS_SECRET_ACCESS_KEY", "wrong"), BUCKET, "403 SignatureDoesNotMatch.*Check key"),
    "key": (lambda patch: patch.setenv("AWS_ACCESS_KEY_ID", "nobody"), BUCKET, "403 InvalidAccessKeyId.*Check key"),
    "none": (forget_keys, BUCKET, "no credentials .*credentialsSecretRef"),
    "bucket": (lambda patch: None, "absent", "404 NoSuchBucket.*Create the bucket absent"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_with_credentials_or_bucket_is_a_config_error_that_says_what_to_do(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    change, bucket, message = WRONG[what]
    change(monkeypatch)
    remote = Remote(S3(bucket=bucket, prefix="team/run", endpoint=server.endpoint), tmp_path)
    with pytest.raises(StoreDeniedError, match=message) as caught:
        load(remote)
    assert (caught.value.exit_code, caught.value.reason) == (10, "ConfigInvalid")
    assert f"s3://{bucket}/team/run" in str(caught.value) and server.endpoint in str(caught.value)


def test_a_right_that_is_missing_is_named(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    (server.users / "users.json").write_text(json.dumps({"accessAccounts": {"guest": {
        "access": "guest", "secret": "guest-secret", "role": "user"}}}))  # fmt: skip
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "guest")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "guest-secret")
    with pytest.raises(StoreDeniedError, match=r"403 AccessDenied.*The credentials need s3:ListBucket"):
        load(remote_in(server, tmp_path / "out"))


def test_old_checkpoints_go_and_those_that_stay_are_untouched(remote: Remote, tmp_path: Path, server: Server) -> None:
    saver = saver_of(remote, Keep(last=2, best=1))
    for step, loss in ((100, 0.5), (200, 0.1), (300, 0.4), (400, 0.3), (500, None)):
        saver.submit(a_snapshot(step, val_loss=loss))
        saver.wait()
        saver.close()
    assert [one.step for one in saver.complete()] == [200, 400, 500]
    names = {path.name for path in folder(server, tmp_path).iterdir()}
    assert names == {"LATEST", "step-00000200", "step-00000400", "step-00000500"}
    assert [path.name for path in remote.root.glob("step-*")] == ["step-00000500"]  # the others were on their way only


def test_a_run_goes_back_to_before_a_step_and_sets_the_later_checkpoints_aside(
    remote: Remote, tmp_path: Path, server: Server
) -> None:
    save(remote, a_snapshot(100), a_snapshot(200), a_snapshot(300))
    shutil.rmtree(remote.root)
    back = load(remote, before=200)
    assert back is not None and back.info.step == 100
    assert save(remote, a_snapshot(200, seed=1, before=200), before=200) == [100, 200]
    aside = sorted(path.parent.name for path in folder(server, tmp_path).glob("*/aside-*"))
    assert aside == ["step-00000200", "step-00000300"]
    assert len(list((folder(server, tmp_path) / "step-00000300").rglob("model.safetensors"))) == 1
    shutil.rmtree(remote.root)
    again = load(remote, before=200)
    assert again is not None and again.info.step == 200  # saved since


def test_a_checkpoint_that_a_folder_has_and_the_bucket_not_is_brought_there_first(remote: Remote) -> None:
    save(remote, a_snapshot(100))
    save_in_folder(remote.root, a_snapshot(200))
    found = load(remote)
    assert found is not None and found.info.step == 200
    assert loaded_step(remote) == 200


def test_big_files_go_in_parts_and_unfinished_ones_are_ended(
    remote: Remote, tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "big"
    path.write_bytes(os.urandom((64 << 20) + 5))
    remote.bucket.upload(path, "big")
    remote.bucket.download("big", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == path.read_bytes()
    client = server.client()
    client.create_multipart_upload(Bucket=BUCKET, Key=f"team/{tmp_path.name}/step-00000100/x/model.safetensors")
    assert remote.bucket.abort_uploads() == 1 and remote.bucket.abort_uploads() == 0


def test_a_store_without_conditional_writes_still_refuses_a_second_manifest(
    remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = remote.bucket._client.put_object

    def without_conditions(**arguments: Any) -> Any:
        if "IfNoneMatch" in arguments:
            from botocore.exceptions import ClientError  # noqa: PLC0415

            answer = {"Error": {"Code": "NotImplemented"}, "ResponseMetadata": {"HTTPStatusCode": 501}}
            raise ClientError(answer, "PutObject")
        return real(**arguments)

    monkeypatch.setattr(remote.bucket._client, "put_object", without_conditions)
    assert remote.bucket.create("one", b"1") and not remote.bucket.create("one", b"2")
    assert remote.bucket.get("one") == b"1"


def test_the_folders_of_two_saves_are_never_the_same(remote: Remote) -> None:
    assert Team().token != Team().token
    save(remote, a_snapshot(100), a_snapshot(200))
    folders = {remote.find(name).manifest.folder for name in remote.names()}
    assert len(folders) == 2 and None not in folders
