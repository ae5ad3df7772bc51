"""What a program trains on: a stream of groups, their tokens, and the fixed pairs it is validated on."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from polar.baseline import PairText, fit_baseline
from polar.batches import Corpus
from polar.config import RunConfig
from polar.data import Source
from polar.distributed import Dist
from polar.evaluate import PairSet
from polar.pairs import Groups, GroupSource
from polar.parallel import Net
from polar.report import Score

BASELINE_PAIRS = 2000
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
    """Training and validation data of a run. `text_of` gives a response's text, `where` the row it came from."""

    corpus: Corpus
    train: GroupSource
    seen: PairSet
    unseen: PairSet | None
    source: Source
    text_of: Callable[[int], str]
    rows_per_response: int

    def validate(self, net: Net, dist: Dist) -> Validation:
        """Score the fixed pairs. Collective."""
        unseen = self.unseen.score(net, dist) if self.unseen else None
        return Validation(seen=self.seen.score(net, dist), unseen=unseen)

    def style_baseline(self) -> StyleBaseline:
        """Fit the baseline on training pairs and measure it on the validation pairs."""
        sample = self.train.groups(0, min(BASELINE_PAIRS, self.train.size))
        baseline = fit_baseline(self._texts(sample))
        unseen = baseline.accuracy(self._texts(self.unseen.groups)) if self.unseen else None
        return StyleBaseline(seen=baseline.accuracy(self._texts(self.seen.groups)), unseen=unseen)

    def total_steps(self, config: RunConfig) -> int:
        """Steps of the budget; a token budget is converted with the mean length of the first groups."""
        sample = self.train.groups(0, TOKEN_SAMPLE)
        return config.total_steps(self.train.size, float(np.mean(self.corpus.count_tokens(sample))))

    def _texts(self, groups: Groups) -> list[PairText]:
        pairs = zip(groups.reference, groups.candidates, strict=True)
        return [(self.text_of(int(r)), self.text_of(int(c[0])), self.text_of(int(c[1]))) for r, c in pairs]
