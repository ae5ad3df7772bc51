"""Checkpoints as their readers see them: complete or absent, verified before use, and never fewer than one good one."""

import contextlib
import dataclasses
import json
import os
import pickle
import re
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from polar import checkpoint, retention
from polar.checkpoint import Snapshot, load, save
from polar.distributed import Dist
from polar.durable import sha256_of
from polar.errors import CheckpointError, PolarError
from polar.manifest import FILES, MANIFEST, Manifest, canonical_hash, read_manifest
from polar.resume import load_agreed
from polar.retention import Keep
from polar.saver import Home, Saver


def a_snapshot(step: int = 100, *, seed: int = 0, val_loss: float | None = 0.5) -> Snapshot:
    generator = torch.Generator().manual_seed(seed)
    return Snapshot(
        step=step, tokens=step * 1000, model={"w": torch.randn(8, 8, generator=generator)},
        optimizer={"w.exp_avg": torch.randn(8, 8, generator=generator)}, rng={"rank0.cpu": torch.get_rng_state()},
        state={"dataCursor": {"epoch": 1, "row": 7}}, config={"seed": 3}, tokenizer_json='{"model": "tiny"}',
        val_loss=val_loss, world_size=2, parent="ab12",
    )


def steps(root: Path) -> list[int]:
    return [one.step for one in checkpoint.list_complete(root)]


def test_a_checkpoint_comes_back_bit_for_bit(tmp_path: Path) -> None:
    saved = a_snapshot()
    info = save(tmp_path, saved)
    loaded = load(info.path, info.manifest_sha256)
    for name in ("model", "optimizer", "rng"):
        want, got = getattr(saved, name), getattr(loaded, name)
        assert want.keys() == got.keys() and all(torch.equal(want[key], got[key]) for key in want)
    assert (loaded.state, loaded.config, loaded.tokenizer_json) == (saved.state, saved.config, saved.tokenizer_json)
    assert (loaded.info, loaded.world_size, loaded.parent) == (info, 2, "ab12")
    assert (info.name, info.tokens, info.val_loss) == ("step-00000100", 100_000, 0.5)
    assert (tmp_path / "LATEST").read_text() == "step-00000100\n"


def test_the_manifest_says_what_the_directory_holds(tmp_path: Path) -> None:
    info = save(tmp_path, a_snapshot())
    manifest = json.loads((info.path / MANIFEST).read_text())
    assert set(manifest["files"]) == set(FILES) == {path.name for path in info.path.iterdir()} - {MANIFEST}
    assert manifest["dataCursor"] == {"epoch": 1, "row": 7}
    assert {key: manifest[key] for key in ("step", "tokens", "worldSize", "parent", "valLoss")} == {
        "step": 100, "tokens": 100_000, "worldSize": 2, "parent": "ab12", "valLoss": 0.5}


def test_weights_alone_load_without_touching_optimizer_and_rng(tmp_path: Path) -> None:
    info = save(tmp_path, a_snapshot())
    (info.path / "optimizer.safetensors").unlink()
    loaded = load(info.path, model_only=True)
    assert set(loaded.model) == {"w"} and loaded.optimizer == {} and loaded.rng == {}


def test_saving_the_same_step_again_changes_nothing_and_other_weights_are_refused(tmp_path: Path) -> None:
    first = save(tmp_path, a_snapshot())
    assert save(tmp_path, a_snapshot()) == first
    with pytest.raises(PolarError, match=r"step-00000100: exists and differs in model\.safetensors") as caught:
        save(tmp_path, a_snapshot(seed=1))
    assert caught.value.exit_code == 1  # worth another attempt, which continues from the one that is there
    assert load(first.path).info == first
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["LATEST", "step-00000100"]


def test_two_attempts_that_save_one_step_at_once_do_not_disturb_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files = checkpoint._write_files

    def after_the_other_attempt(directory: Path, *rest: Any) -> Manifest:
        monkeypatch.setattr(checkpoint, "_write_files", write_files)
        save(tmp_path, a_snapshot())
        return write_files(directory, *rest)

    monkeypatch.setattr(checkpoint, "_write_files", after_the_other_attempt)
    info = save(tmp_path, a_snapshot())
    assert load(info.path).info == info
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["LATEST", "step-00000100"]


def test_a_damaged_checkpoint_is_replaced_when_its_step_is_saved_again(tmp_path: Path) -> None:
    info = save(tmp_path, a_snapshot())
    (info.path / "model.safetensors").write_bytes(b"damaged")
    save(tmp_path, a_snapshot())
    assert load(info.path).info.step == 100


@pytest.mark.parametrize("name", [*FILES, MANIFEST])
def test_truncating_a_file_anywhere_is_noticed_and_the_one_before_is_used(tmp_path: Path, name: str) -> None:
    save(tmp_path, a_snapshot(100))
    path = save(tmp_path, a_snapshot(200)).path / name
    whole = path.read_bytes()
    every = range(len(whole.rstrip())) if "POLAR_EXHAUSTIVE" in os.environ else ()
    for length in {0, 1, len(whole) // 2, len(whole.rstrip()) - 1, *every}:
        path.write_bytes(whole[:length])
        loaded = load_agreed(tmp_path, Dist())
        assert loaded is not None and loaded.info.step == 100
        assert len(loaded.problems) == 1 and str(path) in loaded.problems[0]


@pytest.mark.parametrize("name", FILES)
def test_one_flipped_bit_is_noticed_and_the_one_before_is_used(tmp_path: Path, name: str) -> None:
    save(tmp_path, a_snapshot(100))
    path = save(tmp_path, a_snapshot(200)).path / name
    whole = path.read_bytes()
    for position in range(0, len(whole), 1 if "POLAR_EXHAUSTIVE" in os.environ else max(1, len(whole) // 16)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 4]) + whole[position + 1 :])
        loaded = load_agreed(tmp_path, Dist())
        assert loaded is not None and loaded.info.step == 100 and "SHA-256" in loaded.problems[0]


def test_a_manifest_with_a_flipped_bit_is_refused_or_says_the_same(tmp_path: Path) -> None:
    info = save(tmp_path, a_snapshot())
    path = info.path / MANIFEST
    whole = path.read_bytes()
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        with contextlib.suppress(CheckpointError):
            read = read_manifest(info.path)
            assert (read.step, read.tokens, read.val_loss) == (100, 100_000, 0.5)
            assert read.files == json.loads(whole)["files"]


def test_a_manifest_with_a_flipped_bit_does_not_pass_for_the_pinned_one(tmp_path: Path) -> None:
    info = save(tmp_path, a_snapshot())
    path = info.path / MANIFEST
    whole = path.read_bytes()
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        with pytest.raises(CheckpointError):
            load(info.path, info.manifest_sha256)


def test_nothing_to_resume_from_is_none_and_only_damaged_ones_is_an_error(tmp_path: Path) -> None:
    assert load_agreed(tmp_path, Dist()) is None and load_agreed(tmp_path / "absent", Dist()) is None
    info = save(tmp_path, a_snapshot())
    (info.path / "state.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"no checkpoint in .* verifies .*state\.json: expected \d+ bytes, got 2"):
        load_agreed(tmp_path, Dist())


@pytest.mark.parametrize(("value", "message"), [
    ("[]", "formatVersion"), ('{"formatVersion": 9}', "expected formatVersion 1 or 2, got 9"),
    ('{"formatVersion": 1, "step": "x"}', "step: expected int, got 'x'"), ("nonsense", "not JSON"),
])
def test_a_manifest_of_another_shape_is_an_error_that_names_the_field(tmp_path: Path, value: str, message: str) -> None:
    info = save(tmp_path, a_snapshot())
    (info.path / MANIFEST).write_text(value)
    with pytest.raises(CheckpointError, match=message):
        load(info.path)


def test_a_missing_directory_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"absent/manifest\.json: cannot be read: No such file"):
        load(tmp_path / "absent")


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path("detonated"),))


def test_a_pickle_in_the_place_of_tensors_is_refused_even_with_a_matching_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    info = save(tmp_path, a_snapshot())
    bomb = info.path / "model.safetensors"
    bomb.write_bytes(pickle.dumps(Bomb()))
    manifest = json.loads((info.path / MANIFEST).read_text())
    manifest["files"]["model.safetensors"] = {
        "size": bomb.stat().st_size, "sha256": sha256_of(bomb)}
    del manifest["selfHash"]
    manifest["selfHash"] = canonical_hash(manifest)
    (info.path / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        load(info.path)
    assert not (tmp_path / "detonated").exists()


def test_a_link_in_the_place_of_a_file_is_refused(tmp_path: Path) -> None:
    info = save(tmp_path / "run", a_snapshot())
    path = info.path / "config.json"
    path.rename(tmp_path / "elsewhere.json")
    path.symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(CheckpointError, match="expected a regular file"):
        load(info.path)


def test_no_source_file_of_the_trainer_reads_pickles() -> None:
    for path in (Path(checkpoint.__file__).parent).glob("*.py"):
        text = path.read_text()
        if path.name == "tensor_files.py":  # reads weights of others, with the loader that makes nothing but tensors
            text = re.sub(r"torch\.load\([^()]*weights_only=True[^()]*\)", "", text)
        assert not re.search(r"(?<!\w)(torch\.(load|save)\b|import pickle)", text), path


def test_garbage_collection_keeps_the_newest_and_the_best(tmp_path: Path) -> None:
    for step, loss in ((100, 0.5), (200, 0.1), (300, 0.4), (400, 0.3), (500, None)):
        save(tmp_path, a_snapshot(step, val_loss=loss))
    assert retention.collect_garbage(tmp_path, Keep(last=2, best=1)) == ["step-00000100", "step-00000300"]
    assert steps(tmp_path) == [200, 400, 500]


def test_garbage_collection_keeps_listed_steps_and_the_first_that_reach_listed_tokens(tmp_path: Path) -> None:
    for step in (100, 200, 300, 400, 500):
        save(tmp_path, dataclasses.replace(a_snapshot(step), tokens=10 * step))
    keep = Keep(last=1, best=0, steps=lambda: [200, 900], tokens=(2500, 3000, 9000))
    assert retention.collect_garbage(tmp_path, keep) == ["step-00000100", "step-00000400"]
    assert steps(tmp_path) == [200, 300, 500]


def test_garbage_collection_removes_nothing_while_the_newest_checkpoint_is_damaged(tmp_path: Path) -> None:
    for step in (100, 200, 300):
        save(tmp_path, a_snapshot(step))
    (tmp_path / "step-00000300" / "model.safetensors").write_bytes(b"damaged")
    assert retention.collect_garbage(tmp_path, Keep(last=1, best=0)) == []
    loaded = load_agreed(tmp_path, Dist())
    assert loaded is not None and loaded.info.step == 200


def test_leftovers_of_an_interrupted_save_or_removal_are_cleaned_up_at_start(tmp_path: Path) -> None:
    save(tmp_path, a_snapshot(100))
    save(tmp_path, a_snapshot(200))
    (tmp_path / ".tmp-step-00000300-17").mkdir()
    (tmp_path / ".tmp-step-00000300-17" / "model.safetensors").write_bytes(b"half")
    (tmp_path / ".tmp-LATEST-17").write_bytes(b"")
    (tmp_path / "step-00000100" / MANIFEST).unlink()
    (tmp_path / "notes.txt").write_text("kept")
    Saver(Home(root=tmp_path), keep=Keep(last=3, best=1), dist=Dist()).close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["LATEST", "notes.txt", "step-00000200"]


def test_training_on_while_a_save_is_in_flight_does_not_change_what_is_saved(tmp_path: Path) -> None:
    gate = threading.Event()
    home, keep = Home(root=tmp_path), Keep(last=3, best=1)
    saver = Saver(home, keep=keep, dist=Dist(), before_commit=lambda: gate.wait(10) and None)
    snapshot = a_snapshot()
    before = snapshot.model["w"].clone()
    saver.submit(snapshot)
    snapshot.model["w"].add_(1)
    assert saver.poll() is None
    gate.set()
    saver.close()
    assert torch.equal(load(tmp_path / "step-00000100").model["w"], before)
    assert [one.step for one in saver.poll() or []] == [100] and saver.poll() is None


def test_saves_are_in_order_and_one_at_a_time(tmp_path: Path) -> None:
    running: list[int] = []

    def one_at_a_time() -> None:
        running.append(1)
        assert len(running) == 1
        time.sleep(0.02)
        running.pop()

    saver = Saver(Home(root=tmp_path), keep=Keep(last=10, best=1), dist=Dist(), before_commit=one_at_a_time)
    for step in range(5):
        saver.submit(a_snapshot(step))
    saver.close()
    assert steps(tmp_path) == [0, 1, 2, 3, 4] and (tmp_path / "LATEST").read_text() == "step-00000004\n"


def test_a_failed_save_surfaces_at_the_next_call_and_the_next_save_works(tmp_path: Path) -> None:
    saver = Saver(Home(root=tmp_path), keep=Keep(last=3, best=1), dist=Dist())
    saver.submit(a_snapshot(100))
    saver.submit(a_snapshot(100, seed=1))
    with pytest.raises(PolarError, match="exists and differs"):
        saver.wait()
    saver.submit(a_snapshot(200))
    saver.close()
    assert steps(tmp_path) == [100, 200]


def test_host_memory_is_made_before_the_first_save_and_kept_between_saves(tmp_path: Path) -> None:
    model = torch.nn.Linear(64, 64)
    saver = Saver(Home(root=tmp_path), keep=Keep(last=3, best=1), dist=Dist())
    saver.prepare(model)
    saver.wait()
    memory = saver._buffers.model._memory.data_ptr()
    weights = dict(model.state_dict())
    moments = {f"{name}/{key}": weights[name] for name in weights for key in ("exp_avg", "exp_avg_sq")}
    for step in (1, 2):
        saver.submit(dataclasses.replace(a_snapshot(step), model=weights, optimizer=moments))
        saver.wait()
        assert saver._buffers.model._memory.data_ptr() == memory
    assert torch.equal(load(tmp_path / "step-00000002").model["weight"], model.weight)
    saver.close()
