"""polar.pretrain with steps that take a tenth of a second, for what happens by time."""

import time
from typing import Any

from polar import pretrain
from polar.result import Summary
from polar.step import Stepper

PAUSE_SECONDS = 0.1


def main(config_path: str, summary: Summary) -> None:
    """Trains slowly."""
    real = Stepper.step

    def slow_step(self: Stepper, *arguments: Any, **options: Any) -> Any:
        time.sleep(PAUSE_SECONDS)
        return real(self, *arguments, **options)

    Stepper.step = slow_step  # type: ignore[method-assign]
    pretrain.main(config_path, summary)
