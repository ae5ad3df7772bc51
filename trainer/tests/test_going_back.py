"""A run that goes back to before a step (config.resumeBeforeStep), and what becomes of its later checkpoints."""

import dataclasses
from pathlib import Path

from test_checkpoint import a_snapshot, steps

from polar.checkpoint import save
from polar.distributed import Dist
from polar.resume import load_agreed
from polar.retention import Keep
from polar.saver import Home, Saver


def test_a_run_goes_back_to_before_a_step_and_sets_the_later_checkpoints_aside_when_it_saves(tmp_path: Path) -> None:
    for step in (100, 200, 300):
        save(tmp_path, a_snapshot(step))
    back = load_agreed(tmp_path, Dist(), before=200)
    assert back is not None and back.info.step == 100
    assert steps(tmp_path) == [100, 200, 300]  # nothing is touched before it saves
    saver = Saver(Home(root=tmp_path, before=200), keep=Keep(last=1, best=0), dist=Dist())
    saver.submit(dataclasses.replace(a_snapshot(200, seed=1), config={"resumeBeforeStep": 200}))
    saver.close()
    aside = sorted(path.name.rpartition("-")[0] for path in tmp_path.glob("aside-*"))
    assert aside == ["aside-step-00000200", "aside-step-00000300"]
    assert steps(tmp_path) == [200]
    again = load_agreed(tmp_path, Dist(), before=200)
    assert again is not None and again.info.step == 200  # saved since it went back


def test_a_run_that_goes_back_to_before_its_first_checkpoint_begins_anew(tmp_path: Path) -> None:
    save(tmp_path, a_snapshot(100))
    assert load_agreed(tmp_path, Dist(), before=100) is None
    assert load_agreed(tmp_path, Dist(), before=101) is not None
