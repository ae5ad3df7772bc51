"""The data store beside the checkpoints: built once, reused, rebuilt when it is damaged, gone when it should be."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from run_documents import trajectory_rows, write_jsonl

from polar import store as stores
from polar.data import Reading, Rows, read_rows_of
from polar.distributed import Dist
from polar.errors import DataError, Interrupted, StorageFullError
from polar.retention import Keep, clean, collect_garbage
from polar.row_check import TRAJECTORIES
from polar.store import DataStore

HERE = Path(__file__).parent


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    return write_jsonl(tmp_path / "rows.jsonl", trajectory_rows())


def read(root: Path, rows: Path, seed: int = 0, store: DataStore | None = None) -> Rows:
    reading = Reading(path=str(rows), kind=TRAJECTORIES, wrapper="pretrain", seed=seed, percent=25)
    return read_rows_of(reading, store or DataStore(root, Dist()))


def written(root: Path) -> dict[str, int]:
    """Names of the store's files with the times at which they were written."""
    return {str(path.relative_to(root)): path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}


def test_a_later_attempt_opens_what_an_earlier_one_built(tmp_path: Path, rows: Path) -> None:
    root = tmp_path / "run"
    first = [*read(root, rows).texts]
    before = written(root)
    assert [*read(root, rows).texts] == first
    assert written(root) == before


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: os.truncate(path, path.stat().st_size - 1),
        lambda path: path.write_bytes(path.read_bytes()[:-1] + bytes([path.read_bytes()[-1] ^ 1])),
        lambda path: path.unlink(),
    ],
    ids=["truncated", "a flipped bit", "missing"],
)
def test_a_store_that_is_damaged_is_built_again(tmp_path: Path, rows: Path, damage: Callable[[Path], None]) -> None:
    root = tmp_path / "run"
    whole = [*read(root, rows).texts]
    for path in (path for path in sorted(root.rglob("data-*/*")) if path.stat().st_size):
        damage(path)
        assert [*read(root, rows).texts] == whole, path.name
        assert path.exists()


def test_other_rows_or_choices_get_another_store_and_the_old_one_goes(tmp_path: Path, rows: Path) -> None:
    root = tmp_path / "run"
    read(root, rows)
    old = {path.name for path in root.iterdir()}
    store = DataStore(root, Dist())
    read(root, rows, seed=1, store=store)
    write_jsonl(rows, trajectory_rows(prompts=13))
    assert len(read(root, rows, seed=1, store=store).prompts) == 13
    store.remove_stale()
    left = {path.name for path in root.iterdir()}
    assert len(left) == 2 and not left & old
    store.remove_all()
    assert not any(root.iterdir())


def test_a_folder_that_is_not_a_store_is_left_alone(tmp_path: Path, rows: Path) -> None:
    (tmp_path / "run" / "data-of-mine").mkdir(parents=True)
    store = DataStore(tmp_path / "run", Dist())
    read(tmp_path / "run", rows, store=store)
    store.remove_stale()
    store.remove_all()
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["data-of-mine"]


def test_what_cannot_be_built_leaves_nothing_behind(tmp_path: Path, rows: Path) -> None:
    rows.write_text("not a row\n")
    with pytest.raises(DataError, match="1 malformed row"):
        read(tmp_path / "run", rows)
    assert not any((tmp_path / "run").iterdir())


def test_what_a_killed_build_left_goes_at_the_next_start(tmp_path: Path, rows: Path) -> None:
    (tmp_path / "run" / ".tmp-data-rows-0123-4567" / "buckets").mkdir(parents=True)
    read(tmp_path / "run", rows)
    assert [path.name.startswith("data-rows-") for path in (tmp_path / "run").iterdir()] == [True]


def test_being_told_to_stop_ends_a_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = write_jsonl(tmp_path / "rows.jsonl", trajectory_rows(prompts=150))
    monkeypatch.setattr(stores, "BEAT_SECONDS", 0.0)
    said: list[str] = []
    store = DataStore(tmp_path / "run", Dist(), said.append, lambda: len(said) == 1)
    with pytest.raises(Interrupted, match="while the data was being prepared"):
        read(tmp_path / "run", rows, store=store)
    assert said == ["read 1000 rows, now in rows.jsonl"]
    assert not any((tmp_path / "run").iterdir())


def test_the_collection_of_old_checkpoints_leaves_the_store_alone(tmp_path: Path, rows: Path) -> None:
    root = tmp_path / "run"
    read(root, rows)
    before = written(root)
    assert (clean(root), collect_garbage(root, Keep(last=1, best=0))) == ([], [])
    assert written(root) == before


def test_a_full_volume_is_said_and_nothing_is_left_on_it(tmp_path: Path) -> None:
    rows = write_jsonl(tmp_path / "rows.jsonl", trajectory_rows(prompts=400))
    done = run("full", str(tmp_path / "volume"), str(rows))
    if done.returncode == 77:
        pytest.skip("this machine lets us mount no volume of our own")
    assert done.returncode == StorageFullError.exit_code, done.stderr
    said, left = done.stdout.splitlines()
    assert "No space left on device" in said and "Make room" in said
    assert left == "[]"


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    done = run("memory", str(tmp_path / "run"), "10000")
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 4 * 1024, done.stdout  # KiB; 30,000 rows more, some 20 MiB as Python objects


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": f"{HERE.parent}:{HERE}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(HERE / "store_program.py"), *arguments]
    return subprocess.run(command, env=environment, text=True, capture_output=True, timeout=120, check=False)
