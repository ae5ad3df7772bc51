import pytest
from pools import corpus_of, pool

from polar.batches import Corpus, text_of
from polar.cells import Pairing
from polar.encode import Limits, Text
from polar.pairs import Groups
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


def test_a_prompt_that_is_cut_counts_as_far_as_it_is_kept(encoder: TextEncoder) -> None:
    limits = Limits(max_length=26, max_response_length=6)
    corpus, groups = made(encoder, "samePrompt", limits)
    whole, _ = made(encoder, "samePrompt", Limits(max_length=200, max_response_length=6))
    assert (corpus.count_tokens(groups) < whole.count_tokens(groups)).all()
