from pathlib import Path

import pytest
from run_documents import WORDS, trajectory_rows
from tokenizers import Tokenizer, models

from polar.errors import CheckpointError, ConfigError
from polar.tokenizer import TextEncoder, head, read_tokenizer, tokenizer_from_checkpoint, train_tokenizer

TEXTS = [row["output"] for row in trajectory_rows()] + ["Zażółć gęślą jaźń", "日本語\n\n  indented"]


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return train_tokenizer(TEXTS, 400)


def decoded(encoder: TextEncoder, text: str) -> str:
    (ids,) = encoder.encode([text])
    return str(Tokenizer.from_str(encoder.to_json()).decode(ids.tolist()))


def test_any_text_survives_encoding(encoder: TextEncoder) -> None:
    for text in (*TEXTS[-2:], "\u0000 tab\t and \N{GRINNING FACE}", ""):
        assert decoded(encoder, text) == text


def test_training_twice_gives_the_same_tokenizer(encoder: TextEncoder) -> None:
    assert train_tokenizer(TEXTS, 400).to_json() == encoder.to_json()


def test_special_tokens_written_in_a_text_stay_text(encoder: TextEncoder) -> None:
    reserved = {encoder.ids.bos, encoder.ids.pad, encoder.ids.separator, encoder.ids.reward}
    text = "a <|reward|> b [UNUSED_TOKEN_130] c <s> d <pad>"
    (ids,) = encoder.encode([text])
    assert not reserved & set(ids.tolist())
    assert decoded(encoder, text) == text


def test_special_tokens_stay_text_after_a_round_trip_through_a_checkpoint(encoder: TextEncoder) -> None:
    again = tokenizer_from_checkpoint(encoder.to_json(), "step-00000005")
    assert again.ids.reward == encoder.ids.reward
    (ids,) = again.encode(["<|reward|>"])
    assert again.ids.separator not in ids.tolist()


def test_the_newline_that_joins_is_one_token(encoder: TextEncoder) -> None:
    assert len(encoder.ids.joiner) == 1


def test_long_texts_are_tokenised_no_further_than_needed_with_the_same_beginning(encoder: TextEncoder) -> None:
    texts = [" ".join(WORDS[n:] * 40) for n in range(8)] + ["x" * 4000, "short", " \n\n word" * 300, "日" * 900]
    for enough in (5, 16, 100):
        for whole, part in zip(encoder.encode(texts), encoder.encode(texts, enough), strict=True):
            assert part[:enough].tolist() == whole[:enough].tolist()


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
    assert [ids.tolist() for ids in encoder.encode(["ab"])] == [[4, 9]]
    assert encoder.vocab_size == 10
