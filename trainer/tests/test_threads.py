import pytest

from polar.threads import available_cores


@pytest.mark.parametrize(
    ("affinity", "quota", "cores"),
    [(8, "", 8), (8, "max 100000", 8), (8, "200000 100000", 2), (8, "50000 100000", 1), (2, "900000 100000", 2)],
)
def test_a_pod_uses_the_cores_it_was_given(affinity: int, quota: str, cores: int) -> None:
    assert available_cores(affinity, quota) == cores
