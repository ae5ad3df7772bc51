import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pools import corpus_of, pool
from run_documents import pretrain_document

from polar import config, preflight
from polar.config import Architecture, RunConfig
from polar.distributed import Dist
from polar.encode import Limits
from polar.errors import ConfigError
from polar.evaluate import PairSet
from polar.flops import step_flops
from polar.packing import pack, packed_length
from polar.plan import ModelDimensions
from polar.task import Task
from polar.tokenizer import train_tokenizer
from polar.trajectory_pairs import Draw, TrajectoryPairs

DATA = pool([[2, 2, 2]] * 10)
ENCODER = train_tokenizer(DATA.texts, 300)
CORPUS = corpus_of(DATA, ENCODER, Limits(max_length=200, max_response_length=20))
PAIRS = TrajectoryPairs(DATA, "training", Draw(pairing="samePrompt", negatives=2, seed=1), "training")
TASK = Task(corpus=CORPUS, train=PAIRS, seen=PairSet(CORPUS, PAIRS, 4), unseen=None)
ARCH = Architecture(
    hidden_size=16, num_layers=2, num_heads=2, num_key_value_heads=1, intermediate_size=32, rope_theta=10_000
)
MODEL = ModelDimensions(arch=ARCH, vocab_size=300)


def run(tmp_path: Path, **changes: Any) -> RunConfig:
    return config.parse(pretrain_document(tmp_path, tmp_path, **changes))


def test_flops_are_those_of_the_groups_in_the_data(tmp_path: Path) -> None:
    found, _ = preflight.preflight(run(tmp_path), TASK, MODEL, Dist())
    sequences = CORPUS.encode_all(PAIRS.groups(0, min(preflight.SAMPLE, PAIRS.size)))
    layout = pack(sequences, np.arange(len(sequences))).layout
    assert found.per_group.useful * len(sequences) == pytest.approx(
        step_flops(ARCH, layout.prefix, layout.branch).useful
    )
    assert found.steps == 20
    assert " parameters, a whole copy each; weights " in found.line()
    assert "useful FLOPs, sharing prefixes saves" in found.line()


def test_no_group_is_longer_than_the_bound() -> None:
    longest = max(packed_length(g) for g in CORPUS.encode_all(PAIRS.groups(0, PAIRS.size)))
    assert longest <= preflight.longest_group(CORPUS, 3) < 3 * longest
    short = dataclasses.replace(CORPUS, limits=Limits(max_length=20, max_response_length=4))
    assert preflight.longest_group(short, 3) < preflight.longest_group(CORPUS, 3)


def test_what_auto_means_is_in_the_config_it_returns(tmp_path: Path) -> None:
    _, decided = preflight.preflight(run(tmp_path), TASK, MODEL, Dist())
    assert decided.engine.sharding == "none"


def test_a_run_that_cannot_fit_the_device_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "device_memory", lambda _device, _processes: 500 << 20)
    with pytest.raises(ConfigError, match=r"do not fit: a process with a whole copy has 500\.0 MiB and needs weights"):
        preflight.preflight(run(tmp_path), TASK, MODEL, Dist())


def test_a_host_without_memory_for_the_copies_that_are_saved_is_refused(tmp_path: Path) -> None:
    found, _ = preflight.preflight(run(tmp_path), TASK, MODEL, Dist())
    saving = found.plan.footprint.saving
    preflight.check_host(found.plan, 8, saving)  # of whole copies only one is saved
    sharded = dataclasses.replace(found.plan, setting=dataclasses.replace(found.plan.setting, sharded=True))
    preflight.check_host(sharded, 8, 8 * saving)
    with pytest.raises(ConfigError, match="checkpoint: copies for saving need"):
        preflight.check_host(sharded, 8, 8 * saving - 1)
