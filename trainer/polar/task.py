"""What a program trains on: a stream of groups, their tokens, and the fixed pairs it is validated on."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from polar.baseline_job import BaselineJob, Pairs
from polar.batches import Corpus
from polar.config import RunConfig
from polar.data import Source
from polar.distributed import Dist
from polar.evaluate import PairSet, never
from polar.pairs import Groups, GroupSource
from polar.parallel import Net
from polar.report import Score

BASELINE_PAIRS = 1000
TOKEN_SAMPLE = 2048


@dataclass(kw_only=True, frozen=True, slots=True)
class Validation:
    """Scores of one validation."""

    seen: Score
    unseen: Score | None


@dataclass(kw_only=True, frozen=True, slots=True)
class StyleBaseline:
    """Accuracy of surface features on the validation pairs, for comparison."""

    seen: float
    unseen: float | None


@dataclass(kw_only=True, frozen=True, slots=True)
class Task:
    """Training and validation data of a run."""

    corpus: Corpus
    train: GroupSource
    seen: PairSet
    unseen: PairSet | None
    _baseline: list[BaselineJob] = field(default_factory=list)

    @property
    def source(self) -> Source:
        """Where each row came from."""
        return self.corpus.data.source

    @property
    def rows_per_response(self) -> int:
        """Responses of a row."""
        return self.corpus.data.per_row

    def validate(self, net: Net, dist: Dist, stopping: Callable[[], bool] = never) -> Validation:
        """Score the fixed pairs. Collective. Raises Stopped, see `PairSet.score`."""
        unseen = self.unseen.score(net, dist, stopping) if self.unseen else None
        return Validation(seen=self.seen.score(net, dist, stopping), unseen=unseen)

    def style_baseline(self, *, wait: bool) -> StyleBaseline | None:
        """What surface features get on the validation pairs; None while that is being computed and not waited for."""
        if not self._baseline:
            self._baseline.append(BaselineJob(self._training_texts, self._validation_texts))
        found = self._baseline[0].result(wait=wait)
        return StyleBaseline(seen=found["seen"], unseen=found.get("unseen")) if found else None

    def total_steps(self, config: RunConfig) -> int:
        """Steps of the budget; a token budget is converted with the mean length of the first groups."""
        if config.budget.tokens is None:
            return config.total_steps(self.train.size, 0.0)
        sample = self.train.groups(0, TOKEN_SAMPLE)
        return config.total_steps(self.train.size, float(np.mean(self.corpus.count_tokens(sample))))

    def _training_texts(self) -> Pairs:
        return self._texts(self.train.groups(0, min(BASELINE_PAIRS, self.train.size)))

    def _validation_texts(self) -> dict[str, Pairs]:
        sets = {"seen": self.seen, "unseen": self.unseen}
        return {name: self._texts(pairs.groups) for name, pairs in sets.items() if pairs}

    def _texts(self, groups: Groups) -> Pairs:
        texts = self.corpus.data.texts
        return [(texts[r], texts[c[0]], texts[c[1]]) for r, c in zip(groups.reference, groups.candidates, strict=True)]
