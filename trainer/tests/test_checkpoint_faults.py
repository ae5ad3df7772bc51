"""Saving a checkpoint while the machine fails: killed at every system call, storage errors, a full volume.

A process that saves is traced and broken at its n-th call of a kind (strace kills before the call takes effect). Every
call is broken when POLAR_EXHAUSTIVE is set (`make test-faults`), else the first and last of each kind and some others.
"""

import errno
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from polar import retention
from polar.distributed import Dist
from polar.errors import StorageFullError
from polar.resume import load_agreed

HERE = Path(__file__).parent
CALLS = ("mkdir", "openat", "write", "fsync", "rename", "renameat", "unlink", "unlinkat", "rmdir")
SAMPLE = 3  # calls of each kind
pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace to break a save at a system call")


class Breaker:
    """Runs saves in forked processes and breaks them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.root = directory / "run"
        environment = {**os.environ, "PYTHONPATH": str(HERE.parent), "GLOO_SOCKET_IFNAME": "lo"}
        self.server = subprocess.Popen(
            [sys.executable, str(HERE / "checkpoint_faults.py"), str(directory)], env=environment, text=True, bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )

    def ask(self, command: str) -> int:
        assert self.server.stdin and self.server.stdout
        self.server.stdin.write(command + "\n")
        return int(self.server.stdout.readline())

    def status(self) -> int:
        assert self.server.stdout
        return int(self.server.stdout.readline())

    def save(self, step: int, inject: str | None = None) -> tuple[int, list[str]]:
        """Wait status of a save and the calls it made; `inject` is strace's."""
        return self.traced(f"save {self.root} {step}", inject)

    def save_parts(self, step: int, rank: int, inject: str | None = None) -> tuple[int, int, list[str]]:
        """Wait statuses of the broken rank of two and of the other, and the calls that the broken one made."""
        status, lines = self.traced(f"part {self.root} {step} {rank}", inject)
        return status, self.status(), lines

    def traced(self, command: str, inject: str | None) -> tuple[int, list[str]]:
        """Does something in a child under strace."""
        pid = self.ask(command)
        self._wait(pid, r"State:\tT")
        log = self.directory / "strace.log"
        options = ["-o", str(log), "-e", f"trace={','.join(CALLS)}", *(["-e", f"inject={inject}"] if inject else [])]
        tracer = subprocess.Popen(
            ["strace", "-qq", "-y", "-s", "0", *options, "-p", str(pid)], stderr=subprocess.PIPE, text=True
        )
        if not self._wait(pid, r"TracerPid:\t[1-9]", tracer):
            os.kill(pid, signal.SIGKILL)
            self.status()
            pytest.skip(f"strace may not attach here: {tracer.stderr.read() if tracer.stderr else ''}")
        os.kill(pid, signal.SIGCONT)
        status = self.status()
        tracer.wait()
        return status, [line for line in log.read_text().splitlines() if "(" in line]

    def error(self, name: str = "error") -> str:
        return (self.directory / name).read_text()

    def _wait(self, pid: int, pattern: str, tracer: "subprocess.Popen[str] | None" = None) -> bool:
        while not re.search(pattern, Path(f"/proc/{pid}/status").read_text()):
            if tracer and tracer.poll() is not None:
                return False
            time.sleep(0.002)
        return True


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Breaker]:
    breaker = Breaker(tmp_path_factory.mktemp("faults"))
    yield breaker
    assert breaker.server.stdin
    breaker.server.stdin.close()
    breaker.server.wait()


@pytest.fixture
def breaker(shared: Breaker) -> Breaker:
    """With one good checkpoint, of step 100."""
    shutil.rmtree(shared.root, ignore_errors=True)
    assert shared.save(100)[0] == 0
    return shared


def calls_by_kind(lines: list[str]) -> dict[str, int]:
    names = [line.split("(")[0].split()[-1] for line in lines]
    return {name: names.count(name) for name in set(names)}


def chosen(lines: list[str]) -> Iterator[tuple[str, int]]:
    """Calls to break: kind and number."""
    for name, count in sorted(calls_by_kind(lines).items()):
        numbers = range(1, count + 1)
        if "POLAR_EXHAUSTIVE" not in os.environ and count > SAMPLE:
            numbers = sorted({1, count, random.Random(name).randint(2, count - 1)})
        yield from ((name, nth) for nth in numbers)


def newest(root: Path) -> int:
    loaded = load_agreed(root, Dist())
    assert loaded is not None and loaded.problems == ()
    return loaded.info.step


def test_keeps_the_old_checkpoint_or_has_the_new_one_wherever_a_save_is_killed(breaker: Breaker) -> None:
    status, lines = breaker.save(200)
    assert status == 0
    counts = calls_by_kind(lines)
    assert counts["fsync"] >= 9 and counts["write"] >= 7 and sum(counts.values()) > 30
    seen = set()
    for name, nth in chosen(lines):
        shutil.rmtree(breaker.root / "step-00000200", ignore_errors=True)
        status, _ = breaker.save(200, f"{name}:signal=KILL:when={nth}")
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, (name, nth)
        seen.add(newest(breaker.root))
        retention.clean(breaker.root)
        assert not [path for path in breaker.root.iterdir() if path.name.startswith(".tmp")]
    assert seen == {100, 200}
    breaker.save(200)
    assert newest(breaker.root) == 200


@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
def test_a_storage_error_at_any_call_leaves_the_old_checkpoint_and_is_told(breaker: Breaker, error: str) -> None:
    _, lines = breaker.save(200)
    full = error == "ENOSPC"
    for name, nth in chosen(lines):
        shutil.rmtree(breaker.root / "step-00000200", ignore_errors=True)
        status, made = breaker.save(200, f"{name}:error={error}:when={nth}")
        broken = next(line for line in made if "INJECTED" in line)
        if "openat" in broken and "O_CREAT" not in broken:
            continue  # reading does not fail for want of space
        if os.waitstatus_to_exitcode(status) == 0:
            continue  # the error hit a call that a save can do without
        assert os.waitstatus_to_exitcode(status) == (StorageFullError.exit_code if full else 1), (name, nth)
        reason = "StorageFull" if full else "Crashed"
        wanted = re.escape(f"{reason}: saving {breaker.root}/step-00000200: {os.strerror(getattr(errno, error))}")
        assert re.match(wanted, breaker.error()), breaker.error()
        assert newest(breaker.root) in (100, 200)
        assert not [path for path in breaker.root.iterdir() if path.name.startswith(".tmp")], (name, nth)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_sharded_save_is_the_old_checkpoint_or_the_new_one_wherever_a_rank_is_killed(
    breaker: Breaker, rank: int
) -> None:
    *statuses, lines = breaker.save_parts(200, rank)
    assert statuses == [0, 0] and newest(breaker.root) == 200
    seen = set()
    for name, nth in chosen(lines):
        shutil.rmtree(breaker.root / "step-00000200", ignore_errors=True)
        status, _, _ = breaker.save_parts(200, rank, f"{name}:signal=KILL:when={nth}")
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        assert killed or status == 0, (name, nth)  # how often rank 0 looks for the other's part is not fixed
        seen.add(newest(breaker.root))
        assert killed or newest(breaker.root) == 200
        retention.clean(breaker.root)
        assert [path.name for path in breaker.root.iterdir() if path.name.startswith(".tmp")] == []
    assert seen >= {100}
    assert breaker.save_parts(200, rank)[:2] == (0, 0) and newest(breaker.root) == 200


def test_a_volume_that_is_full_for_one_rank_ends_the_save_of_all(breaker: Breaker) -> None:
    *_, lines = breaker.save_parts(200, 1)
    for name, nth in chosen([line for line in lines if line.split("(")[0].split()[-1] in ("write", "fsync", "mkdir")]):
        shutil.rmtree(breaker.root / "step-00000200", ignore_errors=True)
        status, other, _ = breaker.save_parts(200, 1, f"{name}:error=ENOSPC:when={nth}")
        if os.waitstatus_to_exitcode(status) == 0:
            continue  # the error hit a call that a save can do without
        codes = [os.waitstatus_to_exitcode(one) for one in (status, other)]
        full = StorageFullError.exit_code
        if codes == [full, 0]:  # its part was on stable storage already
            assert newest(breaker.root) == 200
            continue
        assert codes == [full, full], (name, nth)
        told = f"StorageFull: rank 1: saving part 2 of 2 of {breaker.root}/step-00000200: No space left on device"
        assert breaker.error("error-0").startswith(told)
        assert newest(breaker.root) == 100


def test_everything_is_on_stable_storage_before_the_name_appears_and_the_name_before_latest(breaker: Breaker) -> None:
    _, lines = breaker.save(200)
    text = "\n".join(lines)
    renamed = text.index('step-00000200")')
    synced = [found.start() for found in re.finditer(r"fsync\(\d+<[^>]*\.tmp-step-00000200[^>]*>", text)]
    assert len(synced) == 8 and max(synced) < renamed  # six files, the manifest, the directory
    parent_synced = text.index(f"<{breaker.root}>", renamed)
    assert renamed < parent_synced < text.index('LATEST")')


def test_a_full_volume_stops_the_run_with_its_checkpoints_intact(shared: Breaker, tmp_path: Path) -> None:
    root = shared.directory / "volume"
    root.mkdir(exist_ok=True)
    shared.ask(f"full {root}")
    code = os.waitstatus_to_exitcode(shared.status())
    if code == 77:
        pytest.skip("mounting a small volume needs privileges")
    first, newest_line, left = shared.error().splitlines()
    assert code == StorageFullError.exit_code
    wanted = r"StorageFull: saving .*/step-0000000\d: No space left on device \(the volume of .* MiB free of 1 MiB\)"
    assert re.match(wanted, first)
    assert newest_line == "newest 3" and left == "left LATEST step-00000001 step-00000002 step-00000003"
