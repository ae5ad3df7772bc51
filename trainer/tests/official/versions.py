"""Prints the versions of the official code. Runs in the official environment."""

import json
from importlib.metadata import version

print(json.dumps({name: version(name) for name in ("xtuner", "transformers")}))
