from pathlib import Path

import pytest
from run_documents import trajectory_rows
from tokenizers import Tokenizer, models

from polar.encode import Limits, Text
from polar.errors import CheckpointError, ConfigError
from polar.tokenizer import TextEncoder, head, read_tokenizer, tokenizer_from_checkpoint, train_tokenizer

WIDE = Limits(max_length=4000, max_response_length=1000)
TEXTS = [row["output"] for row in trajectory_rows()] + ["Zażółć gęślą jaźń", "日本語\n\n  indented"]


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return train_tokenizer(TEXTS, 400)


def tokens(encoder: TextEncoder, text: str) -> list[int]:
    return next(encoder.encode_rows([Text("", text, "pretrain")], WIDE)).first.tolist()


def decoded(encoder: TextEncoder, text: str) -> str:
    return str(Tokenizer.from_str(encoder.to_json()).decode(tokens(encoder, text)))


def test_any_text_survives_encoding(encoder: TextEncoder) -> None:
    for text in (*TEXTS[-2:], "\u0000 tab\t and \N{GRINNING FACE}", ""):
        assert decoded(encoder, text) == text


def test_training_twice_gives_the_same_tokenizer(encoder: TextEncoder) -> None:
    assert train_tokenizer(TEXTS, 400).to_json() == encoder.to_json()


def test_special_tokens_written_in_a_text_are_taken_out_also_after_a_round_trip_through_a_checkpoint(
    encoder: TextEncoder,
) -> None:
    text = "a<|reward|> b[UNUSED_TOKEN_130] c<s> d<pad>"
    for one in (encoder, tokenizer_from_checkpoint(encoder.to_json(), "step-00000005")):
        assert one.ids == encoder.ids
        assert not {one.ids.bos, one.ids.pad, one.ids.separator, one.ids.reward} & set(tokens(one, text))
        assert decoded(one, text) == "a b c d"


def test_a_head_ends_where_white_space_follows_a_word() -> None:
    assert head("one two  three", 5) == "one two"
    assert head("onetwothree", 3) == "onetwothree"
    assert head("one", 3) == "one"


def test_a_folder_with_a_tokenizer_is_read(encoder: TextEncoder, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(encoder.to_json())
    assert read_tokenizer(tmp_path).ids.separator == encoder.ids.separator
    assert read_tokenizer(tmp_path / "tokenizer.json").vocab_size == encoder.vocab_size


@pytest.mark.parametrize(
    ("old", "wanted"),
    [
        ("<|reward|>", r"expected the special tokens <\|reward\|> and .*, found only \[UNUSED_TOKEN_130\]"),
        ("[UNUSED_TOKEN_130]", r"expected the special tokens .* and \[UNUSED_TOKEN_130\], found only <\|reward\|>"),
        ("<s>", "expected the special token <s> or "),
    ],
)
def test_a_tokenizer_without_a_special_token_is_refused(
    encoder: TextEncoder, tmp_path: Path, old: str, wanted: str
) -> None:
    (tmp_path / "tokenizer.json").write_text(encoder.to_json().replace(old, "other"))
    with pytest.raises(ConfigError, match=wanted):
        read_tokenizer(tmp_path)


def test_what_is_no_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"model\.tokenizer\.path: cannot read .*tokenizer\.json"):
        read_tokenizer(tmp_path / "tokenizer.json")
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ConfigError, match="not a tokenizer file"):
        read_tokenizer(tmp_path)
    with pytest.raises(CheckpointError, match=r"step-00000005/tokenizer\.json: not a tokenizer file"):
        tokenizer_from_checkpoint("[]", "step-00000005")


def test_a_vocabulary_with_gaps_between_its_ids_has_room_for_the_highest(tmp_path: Path) -> None:
    ids = {"<pad>": 0, "<s>": 1, "<|reward|>": 2, "[UNUSED_TOKEN_130]": 3, "a": 4, "b": 9}
    Tokenizer(models.BPE(vocab=ids, merges=[])).save(str(tmp_path / "tokenizer.json"))
    encoder = read_tokenizer(tmp_path)
    assert tokens(encoder, "ab") == [4, 9]
    assert encoder.vocab_size == 10


def test_separator_and_reward_token_are_matched_whole_even_when_they_are_ordinary_entries(tmp_path: Path) -> None:
    ids = {"<pad>": 0, "<s>": 1, "<|reward|>": 2, "[UNUSED_TOKEN_130]": 3, "a": 4}
    Tokenizer(models.BPE(vocab=ids, merges=[])).save(str(tmp_path / "tokenizer.json"))
    encoder = read_tokenizer(tmp_path)
    (sequence,) = encoder.encode_group(Text("a", "a"), [Text("a", "aa")], WIDE)
    assert sequence.tolist() == [1, 4, 4, 2, 4, 4, 4, 3]
    served = Tokenizer.from_str(encoder.to_json()).encode("aa<|reward|>aaa[UNUSED_TOKEN_130]").ids
    assert served == sequence.tolist()
