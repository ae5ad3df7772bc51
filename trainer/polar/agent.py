"""torchrun, and a note of how its ranks died: torchrun itself turns every exit code into 1.

`python -m polar.agent <torchrun arguments>` leaves `$POLAR_RESULT_DIR/agent.json`, {"<rank>": exit code}, where a
negative code is the signal that killed the rank.
"""

import json
import os
import sys
from pathlib import Path

from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import parse_args, run

from polar.lifeline import die_with_parent
from polar.result import RESULT_DIR


def main() -> None:
    """Runs torchrun in this process."""
    die_with_parent()
    try:
        run(parse_args(sys.argv[1:]))  # type: ignore[no-untyped-call]
    except ChildFailedError as error:
        codes = {rank: failure.exitcode for rank, failure in error.failures.items()}
        (Path(os.environ[RESULT_DIR]) / "agent.json").write_text(json.dumps(codes), encoding="ascii")
        sys.exit(1)


if __name__ == "__main__":
    main()
