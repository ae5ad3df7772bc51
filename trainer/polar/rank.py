"""Entry point of one rank: `python -m polar.rank polar.pretrain --config /etc/polar/run.json`.

Handles signals before anything slow is imported, then runs `main(config_path, summary)` of that module.
"""

import argparse
import importlib

from polar.lifeline import die_with_parent
from polar.result import Summary, run_rank


def main() -> None:
    """Parses the command line and runs the program to its end."""
    parser = argparse.ArgumentParser(prog="polar.rank", description=__doc__)
    parser.add_argument("program", help="polar.pretrain or polar.finetune")
    parser.add_argument("--config", required=True)
    arguments = parser.parse_args()
    die_with_parent()

    def program(summary: Summary) -> None:
        importlib.import_module(arguments.program).main(arguments.config, summary)

    run_rank(program)


if __name__ == "__main__":
    main()
