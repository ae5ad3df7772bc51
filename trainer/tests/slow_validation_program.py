"""polar.pretrain with validations that take seconds, in pieces of a few pairs, and tell when they begin."""

import time
from pathlib import Path
from typing import Any

from polar import evaluate, pretrain
from polar.result import Summary

PAUSE_SECONDS = 0.3


def main(config_path: str, summary: Summary) -> None:
    """Trains; `validating` appears beside the config when the first pairs are scored."""
    real = evaluate.margins

    def slow_margins(*given: Any) -> Any:
        Path(config_path).with_name("validating").touch()
        time.sleep(PAUSE_SECONDS)
        return real(*given)

    evaluate.PAIRS_AT_ONCE = 2
    evaluate.margins = slow_margins  # type: ignore[assignment]
    pretrain.main(config_path, summary)
