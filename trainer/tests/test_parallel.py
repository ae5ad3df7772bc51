"""However a model is split over ranks, the numbers are those of one process."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from gangs import run_gang
from parallel_program import Trained, go_on, save, several, train
from programs import start_server

from polar import checkpoint
from polar.config_runtime import Engine
from polar.distributed import Dist
from polar.errors import CheckpointError
from polar.precision import GROWTH_STEPS, LossScale
from polar.stored import Stored

PLAIN = Engine(precision="fp32", sharding="none")
SPLIT = Engine(precision="fp32", sharding="full")
AGAIN = Engine(precision="fp32", sharding="full", activation_checkpointing=True)
SHARES = {2: [5, 2], 3: [4, 0, 3]}


@pytest.fixture(scope="module", autouse=True)
def server() -> None:
    start_server()


@pytest.fixture(scope="module")
def alone() -> Trained:
    return train(Dist(), PLAIN, [7])


def same(got: Trained, wanted: Trained, tolerance: float) -> None:
    assert got.losses == pytest.approx(wanted.losses, abs=tolerance)
    assert got.norms == pytest.approx(wanted.norms, rel=tolerance * 10)
    for name, weight in wanted.weights.items():
        assert np.allclose(got.weights[name], weight, atol=tolerance * 10), name


@pytest.mark.parametrize("ranks", [2, 3])
def test_replicas_and_shards_train_like_one_process_even_with_uneven_micro_batches(alone: Trained, ranks: int) -> None:
    shares = SHARES[ranks]
    runs = {
        "replicas": (PLAIN, shares, 10_000), "replicas, many micro-batches": (PLAIN, shares, 30),
        "shards": (SPLIT, shares, 10_000), "shards, many micro-batches": (SPLIT, shares, 30),
        "shards, recomputed": (AGAIN, shares, 30),
    }  # fmt: skip
    results = run_gang(several, ranks, runs)
    for name in runs:
        for result in results:
            same(result[name], alone, 2e-6)
            assert result[name].sharded == ("shards" in name)
    assert results[0]["shards, recomputed"].losses == results[0]["shards, many micro-batches"].losses


def test_half_precision_stays_close_to_fp32(alone: Trained) -> None:
    engines = [Engine(precision=p, sharding=s) for p in ("bf16", "fp16") for s in ("none", "full")]
    for result in run_gang(several, 2, {str(engine): (engine, [5, 2], 10_000) for engine in engines}):
        for one in result.values():
            assert one.losses[0] == pytest.approx(alone.losses[0], abs=0.02) and one.losses[0] != alone.losses[0]
            assert one.losses == pytest.approx(alone.losses, abs=0.2)
            assert one.norms[0] == pytest.approx(alone.norms[0], rel=0.05)
            assert all(weight.dtype == np.float32 for weight in one.weights.values())


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Trained]:
    """Where two ranks saved a sharded model after two steps, and what the third step was for them."""
    root = tmp_path_factory.mktemp("sharded")
    return root, run_gang(save, 2, SPLIT, SHARES[2], root)[0]


def test_a_sharded_run_goes_on_to_the_same_bits_and_with_other_ranks_or_without_shards_like_one_process(
    alone: Trained, saved: tuple[Path, Trained]
) -> None:
    root, unbroken = saved
    files = {path.name for path in (root / "step-00000002").iterdir()}
    parts = {f"{kind}-0000{rank}-of-00002.safetensors" for kind in ("model", "optimizer") for rank in (0, 1)}
    assert files == parts | {"rng.safetensors", "state.json", "config.json", "tokenizer.json", "manifest.json"}
    again = run_gang(go_on, 2, SPLIT, SHARES[2], root)[0]
    assert again.losses == unbroken.losses and again.norms == unbroken.norms
    assert all(np.array_equal(again.weights[name], weight) for name, weight in unbroken.weights.items())
    wanted = Trained(alone.losses[2:], alone.norms[2:], alone.weights, sharded=False)
    for one in (run_gang(go_on, 3, SPLIT, SHARES[3], root)[2], go_on(Dist(), PLAIN, [7], root)):
        same(one, wanted, 2e-6)


def test_damage_to_any_part_of_a_sharded_checkpoint_is_noticed(saved: tuple[Path, Trained], tmp_path: Path) -> None:
    copy = shutil.copytree(saved[0] / "step-00000002", tmp_path / "step-00000002")
    paths = sorted(copy.iterdir())
    for path in paths:
        whole = path.read_bytes()
        middle = len(whole) // 2
        for damaged in (whole[:-2], b"", whole[:middle] + bytes([whole[middle] ^ 8]) + whole[middle + 1 :]):
            path.write_bytes(damaged)
            with pytest.raises(CheckpointError, match=re.escape(path.name)):
                checkpoint.load(copy)
        path.unlink()
        with pytest.raises(CheckpointError, match=re.escape(path.name)):
            checkpoint.load(copy)
        path.write_bytes(whole)
    first, second = (copy / f"model-0000{rank}-of-00002.safetensors" for rank in (0, 1))
    first.rename(copy / "spare")
    second.rename(first)
    (copy / "spare").rename(second)
    with pytest.raises(CheckpointError, match=r"model-0000\d-of-00002\.safetensors: expected"):
        checkpoint.load(copy)


def test_parts_that_do_not_make_a_whole_are_refused(saved: tuple[Path, Trained]) -> None:
    parts = [saved[0] / "step-00000002" / f"model-0000{rank}-of-00002.safetensors" for rank in (0, 1)]
    assert Stored(parts).shape("model.embed_tokens.weight") == (37, 24)
    with pytest.raises(CheckpointError, match=r"model\..*: its parts do not make \d+ rows"):
        Stored(parts[:1])
    with pytest.raises(CheckpointError, match=r"its parts do not make \d+ rows"):
        Stored([*parts, parts[1]])


def test_a_loss_scale_is_halved_by_overflow_and_doubled_by_good_steps_and_gives_up_at_one() -> None:
    scale = LossScale(value=4.0)
    assert scale.overflowed() and scale.value == 2.0
    for _ in range(GROWTH_STEPS):
        scale.succeeded()
    assert (scale.value, scale.good_steps) == (4.0, 0)
    assert [scale.overflowed() for _ in range(3)] == [True, True, False]


def test_a_run_of_one_process_goes_on_as_a_sharded_one(alone: Trained, tmp_path: Path) -> None:
    save(Dist(), PLAIN, [7], tmp_path)
    wanted = Trained(alone.losses[2:], alone.norms[2:], alone.weights, sharded=True)
    same(run_gang(go_on, 2, SPLIT, SHARES[2], tmp_path)[1], wanted, 2e-6)
