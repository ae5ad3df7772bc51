"""Runs a program of this folder in the environment of the official code (`make setup-official`)."""

import json
import subprocess
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PYTHON = HERE.parents[2] / ".local/official/venv/bin/python"


def run_official(program: str, given: Any) -> Any:
    """What `program`.py prints as JSON when it reads `given` as JSON. AssertionError with its last words otherwise."""
    assert PYTHON.exists(), f"{PYTHON} is missing: run make setup-official"
    done = subprocess.run(
        [str(PYTHON), str(HERE / f"{program}.py")],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])
