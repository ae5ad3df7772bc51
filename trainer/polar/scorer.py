"""A trained checkpoint, or a Hugging Face folder, that scores candidates against a reference."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from polar.encode import Limits, Text, Wrapper
from polar.errors import CheckpointError
from polar.model import RewardModel
from polar.packing import pack
from polar.state import fill_model
from polar.texts import WRAPPERS
from polar.tokenizer import TextEncoder, tokenizer_from_checkpoint
from polar.weights import Origin, Weights, open_weights

OFFICIAL: dict[str, Any] = {"maxLength": 16_384, "maxResponseLength": 4_096, "wrapper": "sft"}
MICRO_BATCH_TOKENS = 16_384


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """How a model was taught to read its input."""

    limits: Limits
    wrapper: Wrapper
    reference: bool


class Scorer:
    """Raises CheckpointError when the weights cannot be used."""

    def __init__(self, path: Path, device: torch.device) -> None:
        weights = open_weights(path)
        self.reading = _reading(weights)
        weights.check_length(self.reading.limits.max_length)
        self._encoder: TextEncoder = tokenizer_from_checkpoint(weights.tokenizer_json, str(path))
        self._model = RewardModel(weights.architecture, weights.vocab_size)
        fill_model(self._model, weights.tensors(), weights.where)
        self._model.to(device).eval()
        self._device = device

    @torch.no_grad()
    def scores(self, reference: Text | None, candidates: Sequence[Text]) -> list[float]:
        """One score per candidate, each as if it were alone; what they share is computed once.

        `reference` is None for a model trained without references, and for no other.
        """
        group = self._encoder.encode_each(reference, candidates, self.reading.limits)
        scores = np.zeros(len(group))
        for places in _parts(np.array([len(s) for s in group])):
            packed = pack([[group[place] for place in places]], np.arange(1))
            scores[places] = self._model(packed.to(self._device)).tolist()
        found: list[float] = scores.tolist()
        return found


def _parts(lengths: np.ndarray) -> list[np.ndarray]:
    """Candidates in parts of limited size: memory must not grow with their number."""
    number = np.cumsum(lengths) // MICRO_BATCH_TOKENS
    return [np.flatnonzero(number == part) for part in np.unique(number)]


def _reading(weights: Weights) -> Reading:
    """The run's own way for a checkpoint, the released client's for a Hugging Face folder."""
    data = _trained_with(weights.origin) if weights.origin else OFFICIAL
    try:
        limits = Limits(
            max_length=int(data["maxLength"]),
            max_response_length=int(data["maxResponseLength"]),
            cut_side=data.get("responseCutSide", "right"),
            empty_response=data.get("emptyResponse", "newline"),
        )
        if data["wrapper"] not in WRAPPERS:
            raise ValueError(f"wrapper: expected {' or '.join(WRAPPERS)}, got {data['wrapper']!r}")
        wrapper = cast(Wrapper, data["wrapper"])
        return Reading(limits=limits, wrapper=wrapper, reference=data.get("reference", "include") == "include")
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{weights.where}/config.json: data: expected lengths and wrapper: {error}") from error


def _trained_with(origin: Origin) -> dict[str, Any]:
    data = origin.run_config.get("data")
    return data if isinstance(data, dict) else {}
