"""What pre-training trains on: the trajectories of a policy pool, as groups of training and of validation."""

from polar.batches import make_corpus
from polar.config import RunConfig
from polar.data import PartName, Reading, Rows, read_rows_of
from polar.evaluate import PairSet
from polar.progress import Progress
from polar.row_check import TRAJECTORIES
from polar.store import DataStore
from polar.task import Task
from polar.tokenizer import TextEncoder
from polar.trajectory_pairs import Draw, TrajectoryPairs


def read_pool(config: RunConfig, store: DataStore, progress: Progress) -> Rows:
    """The policy pool's rows, split, and a line about them."""
    held_out = config.validation
    assert config.data.pairing
    reading = Reading(
        path=config.data.path, kind=TRAJECTORIES, wrapper=config.data.wrapper, seed=config.seed,
        percent=held_out.held_out_prompt_percent, policies=held_out.held_out_policies, pairing=config.data.pairing,
    )  # fmt: skip
    data = read_rows_of(reading, store)
    progress.say(
        f"{len(data)} trajectories of {len(data.policies)} policies on {len(data.prompts)} prompts, "
        f"{data.skipped_empty} rows with an empty output and {data.skipped_repeated} repeated rows skipped"
    )
    return data


def make_task(config: RunConfig, data: Rows, encoder: TextEncoder, store: DataStore) -> Task:
    """Training groups on training prompts and policies; validation pairs on held-out prompts."""
    options, validation = config.data, config.validation
    corpus = make_corpus(data, encoder, options.limits(), store, reference=options.reference == "include")

    def pairs(part: PartName, name: str, negatives: int = 1) -> TrajectoryPairs:
        assert options.pairing
        draw = Draw(pairing=options.pairing, negatives=negatives, seed=config.seed)
        return TrajectoryPairs(data, part, draw, f"{options.path}: {name}")

    seen = pairs("seen", "validation on seen policies")
    unseen = pairs("unseen", "validation on held-out policies") if validation.held_out_policies else None
    return Task(
        corpus=corpus,
        train=pairs("training", "training", options.negatives_per_positive or 1),
        seen=PairSet(corpus, seen, validation.pairs),
        unseen=PairSet(corpus, unseen, validation.pairs) if unseen else None,
    )
