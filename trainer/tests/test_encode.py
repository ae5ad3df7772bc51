"""The encoding, rule by rule, with a tokenizer whose words are tokens; goldens and official code cover the whole."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from make_encoding_goldens import FOLDER, TOKENIZERS
from tokenizers import AddedToken, Tokenizer, decoders, models

from polar.encode import REWARD, SEPARATOR, Ids, Limits, Text, assemble, fits, flatten, room
from polar.tokenizer import TextEncoder, read_tokenizer, train_tokenizer

ENCODERS = {name: read_tokenizer(FOLDER / name) for name in TOKENIZERS}


def letters() -> TextEncoder:
    """Every character is a token."""
    names = ["<pad>", "<s>", SEPARATOR, REWARD, "\n", *"abcdefghijklmnopqrstuvwxyz<|>"]
    tokenizer = Tokenizer(models.BPE(vocab={name: at for at, name in enumerate(names)}, merges=[]))
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in names[:4]])
    return TextEncoder(tokenizer, "letters")


LETTERS = letters()


def shown(ids: Ids) -> str:
    """A sequence as text: ( BOS, | separator, ) reward token."""
    return "".join({0: "?", 1: "(", 2: "|", 3: ")", 4: "/"}.get(int(at), chr(ord("a") + int(at) - 5)) for at in ids)


def encoded(
    reference: Text | None,
    *candidates: Text,
    max_length: int = 100,
    most: int = 20,
    omit: bool = False,
    left: bool = False,
) -> list[str]:
    limits = Limits(
        max_length=max_length,
        max_response_length=most,
        cut_side="left" if left else "right",
        empty_response="omit" if omit else "newline",
    )
    return [shown(ids) for ids in LETTERS.encode_group(reference, candidates, limits)]


def test_joins_prompt_and_response_with_a_newline_in_the_sft_wrapper_and_with_nothing_in_the_pretrain_wrapper() -> None:
    assert encoded(Text("ab", "r"), Text("ab", "cd")) == ["(ab/r|ab/cd)"]
    assert encoded(Text("ab", "r", "pretrain"), Text("ab", "cd", "pretrain")) == ["(abr|abcd)"]
    assert encoded(Text("ab", "r", "pretrain"), Text("x", "c", "sft")) == ["(abr|x/c)"]


def test_without_a_reference_a_sequence_is_prompt_and_candidate() -> None:
    assert encoded(None, Text("ab", "c"), Text("ab", "d")) == ["(ab/c)", "(ab/d)"]


def test_an_empty_response_keeps_its_newline_unless_it_is_to_be_omitted() -> None:
    assert encoded(Text("a", ""), Text("a", "b")) == ["(a/|a/b)"]
    assert encoded(Text("a", ""), Text("a", "b"), omit=True) == ["(a|a/b)"]


@pytest.mark.parametrize(
    ("response", "right", "left"),
    [("abc", "abc", "abc"), ("abcd", "abcd", "abcd"), ("abcde", "abcd", "abcde"), ("abcdef", "abcd", "bcdef")],
)
def test_a_response_of_five_tokens_has_four_beside_its_bos_which_a_cut_on_the_left_drops_first(
    response: str, right: str, left: str
) -> None:
    assert encoded(Text("p", response), Text("p", "x"), most=5) == [f"(p/{right}|p/x)"]
    assert encoded(Text("p", "x"), Text("p", response), most=5, left=True) == [f"(p/x|p/{left})"]


@pytest.mark.parametrize(
    ("max_length", "kept"),
    [
        (26, "abcdef"),  # (22 - 4 - 4) // 2 = 7 = BOS and six tokens: nothing is cut
        (24, "abcdef"),  # room 6: the BOS alone goes
        (23, "bcdef"),
        (16, "ef"),
        (14, "f"),
        (12, ""),
    ],
)
def test_the_prompt_keeps_its_last_tokens(max_length: int, kept: str) -> None:
    got = encoded(Text("abcdef", "rrr"), Text("abcdef", "ccc"), max_length=max_length)
    assert got == [f"({kept}/rrr|{kept}/ccc)"]


def test_the_longest_candidate_decides_for_a_group_and_each_for_itself_when_encoded_alone() -> None:
    candidates = [Text("abcdef", "c"), Text("abcdef", "cccc")]
    limits = Limits(max_length=20, max_response_length=20)
    group = [shown(ids) for ids in LETTERS.encode_group(Text("abcdef", "r"), candidates, limits)]
    each = [shown(ids) for ids in LETTERS.encode_each(Text("abcdef", "r"), candidates, limits)]
    assert group == ["(cdef/r|cdef/c)", "(cdef/r|cdef/cccc)"]
    assert each == ["(abcdef/r|abcdef/c)", "(cdef/r|cdef/cccc)"]


def test_candidates_may_answer_another_prompt_than_the_reference() -> None:
    assert encoded(Text("ab", "r"), Text("xy", "c"), Text("xy", "d")) == ["(ab/r|xy/c)", "(ab/r|xy/d)"]


def test_room_is_told_for_many_groups_at_once() -> None:
    limits = Limits(max_length=24, max_response_length=10)
    costs = np.array([[3, 5], [2, 2]])
    assert room(np.array([4, 3]), costs, limits).tolist() == [5, 7]
    assert room(None, costs, limits).tolist() == [15, 18]
    assert room(np.array([30, 3]), costs, limits).tolist() == [0, 7]


def test_names_of_special_tokens_are_taken_out_until_none_is_left() -> None:
    assert encoded(Text("a", "<|reward|>r"), Text("a", "b[UNUSED_TOKEN_130]c<s>")) == ["(a/r|a/bc)"]
    nested = "<|rew<|rew<|reward|>ard|>ard|>"
    assert encoded(Text("a", nested), Text(nested, "b"), most=40) == ["(a/|/b)"]


def test_message_lists_become_their_contents_on_lines_of_their_own() -> None:
    assert flatten([{"role": "system", "content": "be"}, {"role": "user", "content": "hi\nthere"}]) == "be\nhi\nthere"
    assert flatten("plain") == "plain"


PIECES = ["<|reward|>", "<|rew", "ard|>", REWARD, "<s>", " ", "\n", "the", " model", "é", "日", "😀", "1234"]
content = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=8)), max_size=6).map("".join)
text = st.builds(Text, content, content, st.sampled_from(["sft", "pretrain"]))

limits = st.integers(24, 300).flatmap(
    lambda most: st.builds(
        Limits,
        max_length=st.just(most),
        max_response_length=st.just(most // 4),
        cut_side=st.sampled_from(["right", "left"]),
        empty_response=st.sampled_from(["newline", "omit"]),
    )
)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    name=st.sampled_from(TOKENIZERS),
    reference=st.none() | text,
    candidates=st.lists(text, min_size=1, max_size=3),
    limits=limits,
)
def test_rows_put_together_are_the_encoded_group_and_no_sequence_has_a_special_token_too_many(
    name: str, reference: Text | None, candidates: list[Text], limits: Limits
) -> None:
    encoder = ENCODERS[name]
    group = [ids.tolist() for ids in encoder.encode_group(reference, candidates, limits)]
    first, *rows = encoder.encode_rows([reference or candidates[0], *candidates], limits)
    if fits(first if reference else None, rows, limits):
        assert [ids.tolist() for ids in assemble(first if reference else None, rows, encoder.ids)] == group
    ids = encoder.ids
    specials = [ids.bos, ids.separator, ids.reward] if reference else [ids.bos, ids.reward]
    assert max(len(sequence) for sequence in group) <= limits.max_length
    for sequence in group:
        assert [token for token in sequence if token in (ids.bos, ids.separator, ids.reward)] == specials


def test_long_responses_are_tokenised_no_further_than_needed_with_the_same_result() -> None:
    encoder = train_tokenizer(["one two three four, five\n\nsix  seven"] * 3, 300)
    words = ["one", "two ", "three\n", " four,", "  ", "\n\n", "日", "x" * 40]
    texts = [" ".join(words[n % 8 :] * 60) for n in range(8)]
    for most in (5, 17, 100):
        limits = Limits(max_length=4000, max_response_length=most)
        for row, response in zip(encoder.encode_rows([Text("p", text) for text in texts], limits), texts, strict=True):
            (whole,) = encoder._tokens([response])
            assert row.response_cost == min(len(whole) + 1, most)
            kept = encoder._texts([whole[: most - 1]])[0]
            assert row.first.tolist() == encoder._tokens([f"p\n{kept}"])[0].tolist()


def test_a_text_that_grows_when_it_is_tokenised_again_stays_within_the_limit() -> None:
    encoder, rare = ENCODERS["internlm2"], "\U00010348"  # three replacement characters, nine tokens, when cut inside
    for max_length in range(40, 60):
        limits = Limits(max_length=max_length, max_response_length=max_length // 2 - 6)
        text = Text(rare * 30, rare * 29)
        assert len(encoder.encode_group(text, [text], limits)[0]) <= max_length
        assert len(encoder.encode_group(None, [text], limits)[0]) <= max_length


def test_a_tokenizer_that_adds_no_bos_is_made_to_add_it() -> None:
    assert Tokenizer.from_str(LETTERS.to_json()).encode("ab").ids == [1, 5, 6]


def test_names_that_appear_only_in_normalised_text_are_taken_out_too() -> None:
    wide = "<|\uff52\uff45\uff57\uff41\uff52\uff44|>"
    (ids,) = ENCODERS["nfkc"].encode_group(None, [Text(wide, wide)], Limits(max_length=50, max_response_length=20))
    assert ENCODERS["nfkc"].ids.separator not in ids.tolist()
