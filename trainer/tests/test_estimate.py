import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from run_documents import pretrain_document, write_json
from torch import Tensor

from polar import config, estimate
from polar.config import Architecture
from polar.config_runtime import Engine
from polar.errors import ConfigError
from polar.footprint import Setting, activation_bytes, footprint, human, parameters, short_count
from polar.memory_limit import host_memory
from polar.model import RewardModel, build
from polar.packing import Packed, pack
from polar.plan import Hardware, Load, ModelDimensions, arithmetic, make_plan

SMALL = Architecture(
    hidden_size=64, num_layers=6, num_heads=4, num_key_value_heads=2, intermediate_size=176, rope_theta=10_000
)
SEVEN = Architecture(
    hidden_size=4096, num_layers=32, num_heads=32, num_key_value_heads=8, intermediate_size=14336, rope_theta=50_000_000
)
PAPER = ModelDimensions(arch=SEVEN, vocab_size=92_544)
GIB = 1 << 30


def hardware(world_size: int, gib: float, device: str = "cuda") -> Hardware:
    return Hardware(device=device, world_size=world_size, memory=int(gib * GIB))


def load(longest: int) -> Load:
    return Load(longest_group=longest, share=1000 * longest)


def stream(tokens: int) -> Packed:
    rng = np.random.default_rng(0)
    shared = rng.integers(5, 90, tokens // 2)
    own = [rng.integers(5, 90, tokens // 4).astype(np.int32) for _ in range(2)]
    return pack([[np.concatenate([shared, one]).astype(np.int32) for one in own]], np.arange(1))


def kept_for_backward(model: RewardModel, batch: Packed) -> int:
    """Bytes of the distinct tensors that autograd keeps in a forward pass, weights left out."""
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        scores = model(batch)
    assert scores.requires_grad
    return sum(kept.values())


def test_counts_the_parameters_of_a_model() -> None:
    model = build(SMALL, 100, 0.0, seed=0)
    assert parameters(SMALL, 100) == sum(p.numel() for p in model.parameters())
    assert PAPER.parameters() == 7_358_652_416


@pytest.mark.parametrize("width", [64, 128])
def test_activations_are_what_autograd_keeps(width: int) -> None:
    arch = dataclasses.replace(SMALL, hidden_size=width, intermediate_size=width * 11 // 4)
    model, batch = build(arch, 100, 0.0, seed=0), stream(800)
    setting = Setting(
        device="cpu", world_size=1, sharded=False, compute_bytes=4, checkpointing=False, micro_batch_tokens=batch.tokens
    )
    wanted = activation_bytes(arch, setting) - batch.tokens * 4 * (arch.intermediate_size + arch.hidden_size)
    assert kept_for_backward(model, batch) == pytest.approx(wanted, rel=0.1)


def test_sharding_divides_the_state_but_not_the_activations() -> None:
    setting = Setting(
        device="cuda", world_size=8, sharded=True, compute_bytes=2, checkpointing=True, micro_batch_tokens=1000
    )
    whole = footprint(SEVEN, 92_544, dataclasses.replace(setting, sharded=False))
    split = footprint(SEVEN, 92_544, setting)
    assert whole.optimizer == pytest.approx(8 * split.optimizer, rel=1e-6)
    assert whole.saving == 3 * whole.weights
    assert whole.activations == split.activations


def test_auto_keeps_whole_copies_while_they_fit_and_shards_when_they_do_not() -> None:
    small = ModelDimensions(arch=SMALL, vocab_size=1000)
    engine = Engine(activation_checkpointing=True)
    assert not make_plan(engine, small, hardware(8, 80), load(20_480)).setting.sharded
    assert make_plan(engine, PAPER, hardware(8, 80), load(20_480)).setting.sharded
    decided = make_plan(engine, PAPER, hardware(8, 80), load(20_480)).engine(engine)
    assert (decided.sharding, decided.activation_checkpointing) == ("full", True)


def test_micro_batches_shrink_until_they_fit_but_never_below_the_longest_group() -> None:
    engine = Engine(sharding="full")
    sizes = [
        make_plan(engine, PAPER, hardware(64, gib), load(4_000)).setting.micro_batch_tokens for gib in (900, 250, 50)
    ]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == 65_536
    assert sizes[-1] >= 4_000


def test_no_more_activations_are_counted_than_a_step_has_tokens() -> None:
    small = ModelDimensions(arch=SMALL, vocab_size=1000)
    plan = make_plan(Engine(), small, hardware(1, 8, "cpu"), Load(longest_group=100, share=300))
    assert plan.setting.micro_batch_tokens == 300


def test_a_validation_may_need_more_than_a_step() -> None:
    engine, one = Engine(activation_checkpointing=True, precision="bf16"), hardware(8, 139)
    few = make_plan(engine, PAPER, one, Load(longest_group=1000, share=2000, scored=1000))
    many = make_plan(engine, PAPER, one, Load(longest_group=1000, share=2000, scored=10**9))
    assert many.setting.scoring_tokens == 131_072
    assert few.footprint.activations < many.footprint.activations < 20 * GIB


def test_what_cannot_fit_is_refused_with_the_arithmetic_and_what_to_try() -> None:
    with pytest.raises(ConfigError) as caught:
        make_plan(Engine(), PAPER, hardware(1, 79), load(20_480))
    message = str(caught.value)
    parts = [
        "7.359B parameters do not fit: a process with a whole copy has 79.0 GiB",
        "weights 27.4 GiB",
        "optimizer 54.8 GiB",
        "activations of 20480 tokens",
        "engine.activationCheckpointing true",
    ]
    for part in parts:
        assert part in message, message


def test_on_a_cpu_the_copy_that_is_saved_needs_the_same_memory() -> None:
    small = ModelDimensions(arch=SMALL, vocab_size=1000)
    plan = make_plan(Engine(), small, hardware(1, 8, "cpu"), load(100))
    assert "copy being saved" in arithmetic(plan)
    assert plan.setting.compute_bytes == 4
    assert plan.needed < 2 * GIB


def test_the_memory_of_a_container_is_its_limit(tmp_path: Path) -> None:
    assert host_memory(tmp_path) == host_memory(tmp_path / "none")
    (tmp_path / "memory.max").write_text("104857600\n")
    assert host_memory(tmp_path) == 100 << 20
    (tmp_path / "memory.max").write_text("max\n")
    assert host_memory(tmp_path) > 100 << 20


def document(tmp_path: Path, **changes: Any) -> str:
    return str(write_json(tmp_path / "run.json", pretrain_document(tmp_path, tmp_path / "x", **changes)))


def test_the_command_prints_a_table_or_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = document(tmp_path)
    assert estimate.main(["--config", path]) == 0
    assert "device memory" in capsys.readouterr().out
    assert estimate.main(["--config", path, "-o", "json", "--device", "NVIDIA H200", "--memory-gib", "139"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["steps"] == 20
    assert found["flops"]["useful"] < found["flops"]["unshared"] < found["flops"]["naive"]
    assert found["hoursAt40PercentOfPeak"] > 0
    assert found["memoryBytes"]["limit"] == 139 * GIB


def test_the_command_refuses_with_the_exit_code_of_a_bad_config(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = document(tmp_path)
    assert estimate.main(["--config", path, "--device", "cpu", "--memory-gib", "0.1"]) == 10
    assert capsys.readouterr().err.startswith("ConfigInvalid: model: 31.42K parameters do not fit")


def test_mean_lengths_replace_the_limits(tmp_path: Path) -> None:
    run = config.load(document(tmp_path))
    longest = estimate.lengths_of(run, None, None)
    assert longest.prefix + longest.branch + 2 == 64 + 1
    shorter = estimate.lengths_of(run, 4, 6)
    assert (shorter.prefix, shorter.branch, shorter.candidates) == (2 * 4 + 6 + 2, 7, 3)
    assert shorter.corpus == 4 + 6 * 4


def test_bytes_are_shown_for_people() -> None:
    assert [human(size) for size in (12, 1536, 3 * GIB)] == ["12 B", "1.5 KiB", "3.0 GiB"]
    assert [short_count(number) for number in (12, 1500, 33.1e6, 7.36e9)] == ["12", "1.5K", "33.1M", "7.36B"]


def test_the_dimensions_of_weights_are_read_when_the_config_has_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"model\.architecture: expected dimensions, or weights at /nowhere"):
        estimate.dimensions_of(
            config.parse(pretrain_document(tmp_path, tmp_path, model={"dropout": "0", "init": {"path": "/nowhere"}})),
            None,
        )
