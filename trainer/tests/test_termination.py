"""The termination message and the choice of the root cause, as pure functions."""

import json
import random
from typing import Any

import pytest

from polar.termination import MAX_BYTES, decide, message_of


def result(rank: int, code: int, reason: str, *, peer_lost: bool = False) -> dict[str, Any]:
    return {"rank": rank, "exitCode": code, "reason": reason, "message": f"from {rank}", "peerLost": peer_lost}


LOST = (1, "Crashed")


@pytest.mark.parametrize(("results", "codes", "want"), [
    ({0: result(0, 0, "Complete"), 1: result(1, 0, "Complete")}, {}, (0, 0)),
    ({0: result(0, *LOST, peer_lost=True), 1: result(1, 11, "DataInvalid")}, {}, (1, 11)),
    ({0: result(0, *LOST, peer_lost=True), 1: result(1, *LOST)}, {}, (1, 1)),
    ({0: result(0, *LOST, peer_lost=True)}, {1: -9}, (1, 1)),
    ({0: result(0, 20, "Interrupted"), 1: result(1, 0, "Complete")}, {}, (0, 20)),
    ({0: result(0, 20, "Interrupted"), 1: result(1, *LOST)}, {}, (1, 1)),
    ({0: result(0, 13, "NonFiniteLoss"), 1: result(1, 13, "NonFiniteLoss")}, {}, (0, 13)),
    ({}, {0: -15, 1: -9}, (0, 1)),
    ({}, {1: -11}, (1, 1)),
])
def test_the_root_cause_wins(results: dict[int, dict[str, Any]], codes: dict[int, int], want: tuple[int, int]) -> None:
    outcome = decide(results, codes, [0, 1])
    assert (outcome["rank"], outcome["exitCode"]) == want


def test_the_message_is_json_that_fits_whatever_is_in_it() -> None:
    draw = random.Random(5)
    alphabet = ["a", "\u00e9", "\U0001f3d6", '"', "\n", "\udcff"]
    for _ in range(300):
        text = "".join(draw.choices(alphabet, k=draw.choice([0, 10, 3000, 9000])))
        steps = range(draw.choice([0, 40, 500]))
        tail = [{"step": step, "trainLoss": draw.random() * 10 ** draw.randint(-9, 9)} for step in steps]
        summary = {"step": 7, "valLoss": float("nan"), "tail": tail, "best": {"path": "x" * draw.choice([10, 5000])}}
        outcome = {"exitCode": 1, "reason": "Crashed", "message": text, "peerLost": False}
        message = message_of(outcome, 2, summary)
        assert len(message) <= MAX_BYTES
        value = json.loads(message)
        assert (value["exitCode"], value["reason"], value["attempt"]) == (1, "Crashed", 2)
        assert len(value.get("tail", [])) <= 40 and "NaN" not in message.decode()


def test_a_thinned_tail_keeps_its_newest_point() -> None:
    tail = [{"step": step, "trainLoss": 0.123456, "valLoss": 0.654321, "tokens": 10**12 + step} for step in range(40)]
    outcome = {"exitCode": 0, "reason": "Complete", "message": "m" * 1400, "peerLost": False}
    value = json.loads(message_of(outcome, 1, {"tail": tail}))
    assert 0 < len(value["tail"]) < 40 and value["tail"][-1]["step"] == 39 and value["message"] == "m" * 1400
