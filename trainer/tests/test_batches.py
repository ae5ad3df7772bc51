import pytest
from pools import all_rows, pool

from polar.batches import Corpus, trajectory_corpus
from polar.encode import Limits
from polar.tokenizer import TextEncoder, train_tokenizer
from polar.trajectory_pairs import Draw, TrajectoryPairs

DATA = pool([[2, 2, 2]] * 4)


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return train_tokenizer(DATA.outputs, 300)


def corpus(encoder: TextEncoder, max_length: int = 200, most: int = 20) -> Corpus:
    return trajectory_corpus(DATA, encoder, Limits(max_length=max_length, max_response_length=most))


def groups(count: int = 30, pairing: str = "samePrompt"):  # type: ignore[no-untyped-def]
    draw = Draw(pairing=pairing, negatives=2, seed=1)  # type: ignore[arg-type]
    return TrajectoryPairs(DATA, all_rows(DATA), draw, "training").groups(0, count)


@pytest.mark.parametrize("pairing", ["samePrompt", "crossPrompt"])
@pytest.mark.parametrize(("max_length", "most"), [(200, 20), (26, 6), (21, 6), (200, 5)])
def test_corpus_tokens_count_each_prompt_once_and_each_trajectory_once(
    encoder: TextEncoder, pairing: str, max_length: int, most: int
) -> None:
    made, batch_groups = corpus(encoder, max_length, most), groups(pairing=pairing)
    counted = made.count_tokens(batch_groups)
    for place in range(30):
        sequences = made.encode(batch_groups, place)
        separator = sequences[0].tolist().index(encoder.ids.separator)
        reference_side = separator - 1  # without BOS
        candidate_sides = [len(s) - separator - 2 for s in sequences]
        outputs = [len(made.responses[i]) for i in batch_groups.candidates[place]]
        prompt = candidate_sides[0] - outputs[0]
        once = 0 if pairing == "samePrompt" else prompt
        assert counted[place] == reference_side + once + sum(outputs)


def test_responses_are_stored_at_their_final_length(encoder: TextEncoder) -> None:
    assert max(len(corpus(encoder, most=5).responses[i]) for i in range(len(DATA.outputs))) == 4
