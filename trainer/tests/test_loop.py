"""The training loop in this process."""

from pathlib import Path
from typing import Any

import pytest
import torch
from run_documents import pretrain_document, trajectory_rows, write_json, write_jsonl

from polar import pretrain
from polar.errors import NonFiniteLossError
from polar.step import Stepper


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize(("before", "message"), [
    (True, "step 5: the loss or its gradient is not finite for 6 of 6 groups; first rows: "),
    (False, "step 5: the validation loss is not finite"),
])
def test_weights_that_are_not_finite_stop_training_without_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bool, message: str
) -> None:
    real, steps = Stepper.step, iter(range(1, 10))

    def step(self: Stepper, *arguments: Any) -> Any:
        now = next(steps) == 5
        if now and before:
            self.model.v_head.weight.data.fill_(torch.nan)
        result = real(self, *arguments)
        if now and not before:
            self.model.v_head.weight.data.fill_(torch.nan)
        return result

    monkeypatch.setattr(Stepper, "step", step)
    rows = write_jsonl(tmp_path / "rows.jsonl", trajectory_rows())
    config = write_json(tmp_path / "run.json", pretrain_document(tmp_path / "out", rows))
    with pytest.raises(NonFiniteLossError) as caught:
        pretrain.main(str(config), {})
    assert str(caught.value).startswith(message)
    assert ("rows.jsonl" in str(caught.value)) == before
    assert not list((tmp_path / "out").glob("step-*"))
