"""The official code is there and runs: what the other tests of this folder compare with."""

from official_code import run_official


def test_the_official_environment_has_the_versions_that_are_pinned() -> None:
    assert run_official("versions", {}) == {"xtuner": "0.2.0", "transformers": "4.48.0"}
