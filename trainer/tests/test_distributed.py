import pytest

from polar.distributed import device_of
from polar.errors import ConfigError


def test_every_process_has_a_gpu_of_its_own_or_all_use_the_cpu() -> None:
    assert str(device_of(3, 0)) == "cpu"
    assert [str(device_of(rank, 2)) for rank in range(2)] == ["cuda:0", "cuda:1"]


def test_more_processes_than_gpus_are_a_config_error() -> None:
    with pytest.raises(ConfigError, match=r"gang\.processesPerWorker: expected at most 1, one per GPU, got 2 or more"):
        device_of(1, 1)
