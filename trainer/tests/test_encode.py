"""Goldens are worked out by hand from the official rules (lengths there count the BOS before every piece)."""

import numpy as np
import pytest

from polar.encode import Limits, Piece, SpecialIds, Wrapper, cut_prompt, cut_response, encode_group, flatten

BOS, PAD, SEP, REW, NL = 1, 0, 2, 3, 9
IDS = SpecialIds(bos=BOS, pad=PAD, separator=SEP, reward=REW, joiner=np.array([NL], dtype=np.int32))


def ids(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int32)


def piece(prompt: list[int], response: list[int], wrapper: Wrapper = "sft") -> Piece:
    return Piece(prompt=ids(*prompt), response=ids(*response), wrapper=wrapper)


def encoded(reference: Piece, *candidates: Piece, max_length: int = 100, most: int = 20) -> list[list[int]]:
    limits = Limits(max_length=max_length, max_response_length=most)
    return [s.tolist() for s in encode_group(reference, candidates, IDS, limits)]


def test_joins_prompt_and_response_with_a_newline_in_the_sft_wrapper() -> None:
    got = encoded(piece([11, 12], [21]), piece([11, 12], [31, 32]))
    assert got == [[BOS, 11, 12, NL, 21, SEP, 11, 12, NL, 31, 32, REW]]


def test_joins_them_with_nothing_in_the_pretrain_wrapper() -> None:
    got = encoded(piece([11, 12], [21], "pretrain"), piece([11, 12], [31, 32], "pretrain"))
    assert got == [[BOS, 11, 12, 21, SEP, 11, 12, 31, 32, REW]]


def test_leaves_out_the_newline_before_an_empty_response() -> None:
    assert encoded(piece([11], []), piece([11], [31])) == [[BOS, 11, SEP, 11, NL, 31, REW]]


def test_each_response_keeps_the_wrapper_of_its_row() -> None:
    got = encoded(piece([11], [21], "pretrain"), piece([11], [31], "sft"))
    assert got == [[BOS, 11, 21, SEP, 11, NL, 31, REW]]


def test_cross_prompt_groups_have_a_prompt_for_the_reference_and_one_for_the_candidates() -> None:
    got = encoded(piece([11], [21]), piece([12], [31]), piece([12], [41]))
    assert got == [[BOS, 11, NL, 21, SEP, 12, NL, 31, REW], [BOS, 11, NL, 21, SEP, 12, NL, 41, REW]]


@pytest.mark.parametrize(("length", "kept"), [(3, 3), (4, 4), (5, 4), (9, 4)])
def test_a_response_keeps_its_head_and_its_bos_counts(length: int, kept: int) -> None:
    response = list(range(21, 21 + length))
    limits = Limits(max_length=100, max_response_length=5)
    assert cut_response(ids(*response), limits).tolist() == response[:kept]


@pytest.mark.parametrize(("length", "first"), [(4, 0), (5, 0), (6, 1), (9, 4)])
def test_cut_on_the_left_keeps_the_tail_and_drops_the_bos_first(length: int, first: int) -> None:
    response = list(range(21, 21 + length))
    limits = Limits(max_length=100, max_response_length=5, cut_side="left")
    assert cut_response(ids(*response), limits).tolist() == response[first:]


@pytest.mark.parametrize(
    ("max_length", "kept"),
    [
        (26, [11, 12, 13, 14, 15, 16]),  # (22 - 4 - 4) // 2 = 7 = BOS and six tokens: nothing is cut
        (25, [11, 12, 13, 14, 15, 16]),  # room 6: the BOS alone goes
        (24, [11, 12, 13, 14, 15, 16]),  # room 6
        (23, [12, 13, 14, 15, 16]),  # room 5
        (16, [15, 16]),  # room 2
        (14, [16]),  # room 1
    ],
)
def test_the_prompt_keeps_its_last_tokens(max_length: int, kept: list[int]) -> None:
    prompt = [11, 12, 13, 14, 15, 16]
    got = encoded(piece(prompt, [21, 22, 23]), piece(prompt, [31, 32, 33]), max_length=max_length)
    assert got == [[BOS, *kept, NL, 21, 22, 23, SEP, *kept, NL, 31, 32, 33, REW]]


def test_without_room_the_prompt_goes_altogether() -> None:
    got = encoded(piece([11], [21, 22, 23]), piece([11], [31, 32, 33]), max_length=12)
    assert got == [[BOS, NL, 21, 22, 23, SEP, NL, 31, 32, 33, REW]]


def test_the_longest_candidate_decides_how_much_prompt_all_of_them_keep() -> None:
    prompt = [11, 12, 13, 14, 15, 16]
    short, long = encoded(piece(prompt, [21]), piece(prompt, [31]), piece(prompt, [31, 32, 33, 34]), max_length=20)
    # (16 - 2 - 5) // 2 = 4 for both, though the short one alone would leave (16 - 2 - 2) // 2 = 6
    assert short == [BOS, 13, 14, 15, 16, NL, 21, SEP, 13, 14, 15, 16, NL, 31, REW]
    assert long == [BOS, 13, 14, 15, 16, NL, 21, SEP, 13, 14, 15, 16, NL, 31, 32, 33, 34, REW]


def test_no_sequence_is_longer_than_the_limit() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        most = int(rng.integers(4, 12))
        limit = int(rng.integers(2 * most + 8, 60))
        lengths = rng.integers(0, 40, size=4)
        prompt, reference, first, second = (list(range(10, 10 + n)) for n in lengths)
        group = encoded(
            piece(prompt, reference), piece(prompt, first), piece(prompt, second), max_length=limit, most=most
        )
        assert max(len(s) for s in group) <= limit


def test_a_prompt_longer_than_the_room_by_the_bos_alone_is_whole() -> None:
    assert cut_prompt(ids(11, 12), 2).tolist() == [11, 12]
    assert cut_prompt(ids(11, 12), 1).tolist() == [12]


def test_message_lists_become_their_contents_on_lines_of_their_own() -> None:
    messages = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi\nthere"}]
    assert flatten(messages) == "be brief\nhi\nthere"
    assert flatten("plain") == "plain"
