import threading
import time
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from pools import corpus_of, pool

from polar.config import Architecture, Optimizer
from polar.distributed import Dist
from polar.encode import Limits
from polar.loader import AHEAD, Batch, Loader
from polar.model import build
from polar.optim import adamw
from polar.pairs import Groups
from polar.parallel import Net
from polar.sampling import Index
from polar.step import Stepper
from polar.tokenizer import train_tokenizer
from polar.trajectory_pairs import Draw, TrajectoryPairs

DATA = pool([[2, 1]] * 21)  # without squares: two references on each prompt
ENCODER = train_tokenizer(DATA.texts, 300)
CORPUS = corpus_of(DATA, ENCODER, Limits(max_length=200, max_response_length=20))
SOURCE = TrajectoryPairs(DATA, "training", Draw(pairing="samePrompt", negatives=1, seed=1), "training")
ARCH = Architecture(
    hidden_size=16, num_layers=1, num_heads=2, num_key_value_heads=1, intermediate_size=16, rope_theta=10_000
)
OPTIONS = Optimizer(
    learning_rate=0.01, batch_triplets=7, schedule="constant", warmup_percent=0, min_learning_rate_percent=0,
    weight_decay=0.1, beta1=0.9, beta2=0.95, gradient_clip=0.0,
)  # fmt: skip


class Recorder:
    """Makes empty batches and notes their cursors; stops at `fails_at`."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.cursors: list[int] = []
        self.fails_at = fails_at

    def make(self, cursor: int) -> Batch:
        if cursor == self.fails_at:
            raise OSError(f"cannot read group {cursor}")
        self.cursors.append(cursor)
        nothing: Index = np.zeros(0, dtype=np.int64)
        return Batch(Groups(nothing, nothing, nothing, nothing), nothing, [], np.array([cursor]))


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_batches_come_in_order_from_the_cursor_and_only_a_few_are_made_ahead() -> None:
    recorder = Recorder()
    loader = Loader(recorder.make, 6, 30)
    assert recorder.cursors == []
    assert [int(next(loader).tokens[0]) for _ in range(3)] == [30, 36, 42]
    ahead = [30, 36, 42, *range(48, 48 + 6 * (AHEAD + 1), 6)]
    wait_until(lambda: recorder.cursors == ahead)
    loader.close()
    assert recorder.cursors == ahead


def test_waiting_is_counted_only_when_no_batch_is_ready() -> None:
    may_go = threading.Event()
    recorder = Recorder()

    def make(cursor: int) -> Batch:
        assert may_go.wait(10)
        return recorder.make(cursor)

    loader = Loader(make, 1, 0)
    threading.Timer(0.2, may_go.set).start()
    assert next(loader).wait_seconds > 0.15
    wait_until(lambda: len(recorder.cursors) == 2 + AHEAD)
    assert next(loader).wait_seconds < 0.1
    loader.close()


def test_what_goes_wrong_while_a_batch_is_made_is_raised_where_that_batch_was_wanted() -> None:
    loader = Loader(Recorder(fails_at=2).make, 1, 0)
    assert [int(next(loader).tokens[0]) for _ in range(2)] == [0, 1]
    for _ in range(2):
        with pytest.raises(OSError, match="cannot read group 2"):
            next(loader)
    loader.close()


def test_closing_ends_the_thread_whether_or_not_anything_was_asked_for() -> None:
    Loader(Recorder().make, 1, 0).close()
    loader = Loader(Recorder().make, 1, 0)
    next(loader)
    loader.close()
    assert "loader" not in {thread.name for thread in threading.enumerate()}


def stepper_of(rank: int, world_size: int) -> Stepper:
    """A rank's stepper; preparing a batch needs no model."""
    model = build(ARCH, ENCODER.vocab_size, 0.0, 0)
    dist = Dist(rank=rank, world_size=world_size)
    return Stepper(Net(model, dist), adamw(model, OPTIONS), OPTIONS, CORPUS, dist)


@pytest.mark.parametrize("world_size", [1, 2, 5])
def test_the_ranks_share_a_batch_in_parts_of_about_the_same_size(world_size: int) -> None:
    shares = [stepper_of(rank, world_size).prepare(SOURCE.groups(0, 13)) for rank in range(world_size)]
    assert sorted(np.concatenate([share.own for share in shares]).tolist()) == list(range(13))
    taken = [share.tokens[share.own].sum() for share in shares]
    assert max(taken) - min(taken) <= shares[0].tokens.max()
    for share in shares:
        assert sorted(np.concatenate([packed.order for packed in share.micro]).tolist()) == list(range(len(share.own)))


def test_every_reference_is_used_once_per_epoch_across_kills_and_changes_of_the_world_size() -> None:
    used: list[int] = []
    cursor, size, batch = 0, SOURCE.size, 7
    assert size == 42
    for attempt, steps in enumerate((3, 1, 5, 4, 5)):
        loaders = [a_loader(rank, 1 + attempt % 3, batch, cursor) for rank in range(1 + attempt % 3)]
        for _ in range(steps):
            for loader in loaders:
                made = next(loader)
                used += made.groups.reference[made.own].tolist()
        for loader in loaders:
            loader.close()  # with batches made ahead, which are lost
        cursor += steps * batch
    assert Counter(used) == {reference: 3 for reference in DATA.references["training"].tolist()}


def a_loader(rank: int, world_size: int, batch: int, cursor: int) -> Loader:
    stepper = stepper_of(rank, world_size)
    return Loader(lambda start: stepper.prepare(SOURCE.groups(start, batch)), batch, cursor)
