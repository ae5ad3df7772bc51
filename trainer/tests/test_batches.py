import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pools import a_folder, corpus_of, pool

from polar import batches
from polar.batches import Corpus, make_corpus, text_of
from polar.cells import Pairing
from polar.distributed import Dist
from polar.encode import Limits, Text
from polar.pairs import Groups
from polar.store import Build, DataStore, Work
from polar.tokenizer import TextEncoder, train_tokenizer
from polar.trajectory_pairs import Draw, TrajectoryPairs

PAIRINGS: tuple[Pairing, ...] = ("samePrompt", "crossPrompt")
POOLS = {pairing: pool([[2, 2, 2]] * 4, pairing) for pairing in PAIRINGS}


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return train_tokenizer(POOLS["samePrompt"].texts, 300)


def made(encoder: TextEncoder, pairing: Pairing, limits: Limits, *, reference: bool = True) -> tuple[Corpus, Groups]:
    data = POOLS[pairing]
    draw = Draw(pairing=pairing, negatives=2, seed=1)
    groups = TrajectoryPairs(data, "training", draw, "training").groups(0, 30)
    return corpus_of(data, encoder, limits, reference=reference), groups


@pytest.mark.parametrize("pairing", PAIRINGS)
@pytest.mark.parametrize("reference", [True, False])
@pytest.mark.parametrize(("max_length", "most"), [(200, 20), (26, 6), (21, 6), (200, 5)])
def test_sequences_from_stored_tokens_are_those_of_the_texts_whatever_has_to_be_cut(
    encoder: TextEncoder, pairing: Pairing, reference: bool, max_length: int, most: int
) -> None:
    limits = Limits(max_length=max_length, max_response_length=most)
    corpus, groups = made(encoder, pairing, limits, reference=reference)
    for place, sequences in enumerate(corpus.encode_all(groups)):
        first = text_of(corpus.data, int(groups.reference[place])) if reference else None
        candidates = [text_of(corpus.data, candidate) for candidate in groups.candidates[place].tolist()]
        wanted = encoder.encode_group(first, candidates, limits)
        assert [s.tolist() for s in sequences] == [s.tolist() for s in wanted]


@pytest.mark.parametrize("pairing", PAIRINGS)
@pytest.mark.parametrize("reference", [True, False])
@pytest.mark.parametrize("most", [20, 5])
def test_corpus_tokens_count_each_prompt_once_and_each_trajectory_once(
    encoder: TextEncoder, pairing: Pairing, reference: bool, most: int
) -> None:
    limits = Limits(max_length=200, max_response_length=most)
    corpus, groups = made(encoder, pairing, limits, reference=reference)
    counted = corpus.count_tokens(groups)

    def tokens(text: str) -> int:
        wide = Limits(max_length=4000, max_response_length=1000)
        return next(encoder.encode_rows([Text("", text)], wide)).response_cost - 1

    data = corpus.data
    for place in range(30):
        responses = groups.candidates[place].tolist() + ([int(groups.reference[place])] if reference else [])
        prompts = {data.prompt[response] for response in responses}
        kept = sum(min(most - 1, tokens(data.texts[response])) for response in responses)
        assert counted[place] == kept + sum(tokens(data.prompts[prompt]) for prompt in prompts)


class ManyRanks(DataStore):
    """Does the work of all ranks of a gang, one after the other."""

    shard = (0, 1)

    def ready(self, name: str, key: Callable[[], dict[str, Any]], build: Build) -> Path:
        folder = a_folder()
        results = []
        for rank in (2, 0, 1):
            self.shard = (rank, 3)
            results.append(exhaust(build(folder)))
        (folder / "manifest.json").write_text(json.dumps({"info": results[1]}))
        return folder


def exhaust(work: Work[dict[str, Any]]) -> dict[str, Any]:
    while True:
        try:
            next(work)
        except StopIteration as end:
            return dict(end.value)


def test_ranks_that_share_the_work_give_the_tokens_of_one(
    encoder: TextEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = Limits(max_length=200, max_response_length=20)
    one, groups = made(encoder, "samePrompt", limits)
    monkeypatch.setattr(batches, "ALIGNMENT", 4)
    three = make_corpus(one.data, encoder, limits, ManyRanks(a_folder(), Dist()), reference=True)
    assert [len(tokens) > 0 for tokens in three.tokens] == [True, True, True]
    assert (three.count_tokens(groups) == one.count_tokens(groups)).all()
    for ours, theirs in zip(one.encode_all(groups), three.encode_all(groups), strict=True):
        assert [s.tolist() for s in ours] == [s.tolist() for s in theirs]


def test_a_prompt_that_is_cut_counts_as_far_as_it_is_kept(encoder: TextEncoder) -> None:
    limits = Limits(max_length=26, max_response_length=6)
    corpus, groups = made(encoder, "samePrompt", limits)
    whole, _ = made(encoder, "samePrompt", Limits(max_length=200, max_response_length=6))
    assert (corpus.count_tokens(groups) < whole.count_tokens(groups)).all()
