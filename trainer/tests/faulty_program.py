"""polar.pretrain on hardware that fails: what goes wrong comes with the run's name, `<what>-<rank>-<step>`."""

import json
import time
from pathlib import Path
from typing import Any

import torch

from polar import pretrain, watch
from polar.distributed import Dist
from polar.errors import DataError
from polar.result import Summary
from polar.step import Stepper

HELD = 0.05


def main(config_path: str, summary: Summary) -> None:
    """Trains until the planned fault."""
    what, rank, step = json.loads(Path(config_path).read_text())["run"]["name"].split("-")
    fault = Fault(what, int(rank), int(step))
    real = Stepper.step

    def step_with_fault(self: Stepper, *arguments: Any, **options: Any) -> Any:
        fault.strike(self.model, self.dist)
        return real(self, *arguments, **options)

    Stepper.step = step_with_fault  # type: ignore[method-assign]
    pretrain.main(config_path, summary)


class Fault:
    """Strikes one rank before one of its steps."""

    def __init__(self, what: str, rank: int, step: int) -> None:
        self.what, self.rank, self.left = what, rank, step

    def strike(self, model: torch.nn.Module, dist: Dist) -> None:
        """Does it when it is time."""
        self.left -= 1
        if self.left or (dist.rank != self.rank and self.what != "fail"):
            return
        if self.what == "fail":
            self._fail(dist.rank)
        if self.what == "hang":
            hang_here()
        if self.what == "flip":
            weights = dict(model.named_parameters())["model.layers.1.mlp.up_proj.weight"].data
            weights.view(torch.int32)[3, 5] ^= 1 << 7
        if self.what == "nan":
            torch.nn.init.constant_(model.get_parameter("v_head.weight"), torch.nan)
        if self.what == "slow":
            model.register_forward_pre_hook(lambda module, inputs: time.sleep(HELD))

    def _fail(self, rank: int) -> None:
        """One rank fails; the others are where they do not notice that it is gone."""
        if rank == self.rank:
            raise DataError("rows.jsonl line 7: bad")
        watch.PEER_GRACE_SECONDS = 0.5
        hang_here()


def hang_here() -> None:
    """Never returns."""
    while True:
        time.sleep(1)
