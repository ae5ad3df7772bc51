"""Policy pools for tests of splits and pairing, in the store that training uses."""

import json
import tempfile
from pathlib import Path

from polar.batches import Corpus, make_corpus
from polar.cells import Pairing
from polar.data import Reading, Rows, read_rows_of
from polar.distributed import Dist
from polar.encode import Limits
from polar.row_check import TRAJECTORIES
from polar.store import DataStore
from polar.tokenizer import TextEncoder

FOLDERS: list[tempfile.TemporaryDirectory[str]] = []  # they live as long as the process: pools are maps of files


def a_folder() -> Path:
    """A folder that is removed when the tests end."""
    FOLDERS.append(tempfile.TemporaryDirectory(prefix="polar-pool-"))
    return Path(FOLDERS[-1].name)


def pool(samples: list[list[int]], pairing: Pairing = "samePrompt", **reading: int) -> Rows:
    """A pool in which policy q answered prompt p `samples[p][q]` times; outputs are named after their place.

    Nothing is held out unless `percent` and `policies` say so: every row is in the part "training".
    """
    folder = a_folder()
    cells = [(p, q, s) for p, row in enumerate(samples) for q, count in enumerate(row) for s in range(count)]
    rows = [{"prompt": f"prompt {p}", "policy": f"q{q}", "output": f"{p}/{q}/{s}"} for p, q, s in cells]
    path = folder / "pool.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    choices = {"seed": 0, "percent": 0} | reading
    return read_rows_of(
        Reading(path=str(path), kind=TRAJECTORIES, wrapper="pretrain", pairing=pairing, **choices),
        DataStore(folder, Dist()),
    )


def corpus_of(data: Rows, encoder: TextEncoder, limits: Limits, *, reference: bool = True) -> Corpus:
    """The tokens of a pool."""
    return make_corpus(data, encoder, limits, DataStore(a_folder(), Dist()), reference=reference)
