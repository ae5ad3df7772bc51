"""Programs for test_store.py: a build on a full volume, and the memory that a build and training batches take.

full FOLDER ROWS       reads rows into a store on a volume of 256 KiB mounted there; 77 when none can be mounted
memory FOLDER COUNT    makes a store of COUNT rows and batches from it, then the same of four times as many rows, and
                       prints by how much more KiB of anonymous memory is in use after the second
"""

import ctypes
import gc
import json
import random
import re
import subprocess
import sys
from pathlib import Path

import numpy as np

from polar import ingest
from polar.batches import make_corpus
from polar.data import Reading, read_rows_of
from polar.distributed import Dist
from polar.encode import Limits
from polar.errors import PolarError
from polar.row_check import TRAJECTORIES
from polar.store import DataStore
from polar.tokenizer import TextEncoder, train_tokenizer
from polar.trajectory_pairs import Draw, TrajectoryPairs

CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 0x4000, 0x40000
LIMITS = Limits(max_length=2048, max_response_length=900)
WORDS = [f"word{n}" for n in range(200)]


def full(folder: Path, rows: str) -> int:
    """The exit code of a build that has too little room; prints its message and what is left."""
    libc = ctypes.CDLL(None, use_errno=True)
    folder.mkdir()
    if libc.unshare(CLONE_NEWNS) or libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None):
        return 77
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder], check=False).returncode:
        return 77
    try:
        read_rows_of(a_reading(rows), DataStore(folder, Dist()))
    except PolarError as error:
        print(error)
        print([path.name for path in folder.iterdir()])
        return error.exit_code
    return 1


def memory(folder: Path, count: int) -> int:
    """Print how much more anonymous memory four times as many rows take."""
    ingest.BUCKET_BYTES = 1 << 18  # so that few rows are sorted in as many parts as many rows are
    encoder = train_tokenizer(WORDS, 600)
    used = []
    for number in (count, 4 * count):
        prepare(folder / str(number), number, encoder)
        used.append(anonymous_kib())
    print(used[1] - used[0])
    return 0


def prepare(folder: Path, count: int, encoder: TextEncoder) -> None:
    """A store of `count` rows, and a thousand groups from it."""
    folder.mkdir(parents=True)
    write_rows(folder / "rows.jsonl", count)
    store = DataStore(folder / "run", Dist())
    data = read_rows_of(a_reading(str(folder / "rows.jsonl")), store)
    corpus = make_corpus(data, encoder, LIMITS, store, reference=True)
    source = TrajectoryPairs(data, "training", Draw(pairing="samePrompt", negatives=1, seed=0), "training")
    for cursor in range(0, 1000, 50):
        groups = source.groups(cursor * 7, 50)
        assert np.all(corpus.count_tokens(groups) > 0)
        corpus.encode_all(groups)


def write_rows(path: Path, count: int) -> None:
    """Rows of 8 prompts' worth of policies, 20 words each."""
    rng = random.Random(0)
    with path.open("w") as out:
        for row in range(count):
            text = " ".join(rng.choices(WORDS, k=20))
            prompt = " ".join(WORDS[row // 8 // 200**digit % 200] for digit in range(3))
            values = {"prompt": prompt, "policy": f"policy-{row // 2 % 4}", "output": text}
            out.write(json.dumps(values) + "\n")


def a_reading(path: str) -> Reading:
    """The rows at a path."""
    return Reading(path=path, kind=TRAJECTORIES, wrapper="pretrain", seed=0, percent=10)


def anonymous_kib() -> int:
    """Anonymous memory of this process, without what its allocator keeps for later."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    found = re.search(r"RssAnon:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found
    return int(found[1])


if __name__ == "__main__":
    command, directory, what = sys.argv[1:]
    sys.exit(full(Path(directory), what) if command == "full" else memory(Path(directory), int(what)))
