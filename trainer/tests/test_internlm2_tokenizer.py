"""InternLM2 folders: tokenizer.model, read into a tokenizer that gives sentencepiece's own ids."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Tokenizer

from polar.encode import Limits, Text
from polar.errors import ConfigError
from polar.internlm2_tokenizer import read_internlm2
from polar.tokenizer import read_tokenizer

LINES = [
    "The reward model reads the reference first and the candidate after it.",
    "  indented, with 1234 numbers and (signs) != others; it's a fine day, isn't it?",
    "Zażółć gęślą jaźń. Grüße aus Köln. Ελληνικά и русский текст. 日本語の文章",
] * 3
NAMES = ["[UNUSED_TOKEN_0]", "[UNUSED_TOKEN_130]"]


def train(folder: Path, **options: Any) -> sentencepiece.SentencePieceProcessor:
    """A model in `folder` like InternLM2's, small."""
    wanted = {
        "model_type": "bpe",
        "vocab_size": 420,
        "byte_fallback": True,
        "normalization_rule_name": "identity",
        "remove_extra_whitespaces": False,
        "allow_whitespace_only_pieces": True,
        "user_defined_symbols": NAMES,
        "character_coverage": 0.98,
    }
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES), model_writer=model, num_threads=1, minloglevel=2, **(wanted | options)
    )
    (folder / "tokenizer.model").write_bytes(model.getvalue())
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


@pytest.fixture(scope="module", params=[True, False], ids=["dummy prefix", "no dummy prefix"])
def both(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Tokenizer, sentencepiece.SentencePieceProcessor]:
    folder = tmp_path_factory.mktemp("model")
    processor = train(folder, add_dummy_prefix=request.param)
    return read_internlm2(folder), processor


text = st.lists(
    st.one_of(st.sampled_from([*LINES[:3], " ", "\n", "the", "re", "▁", "1", "😀", "\u0000"]), st.text(max_size=8)),
    max_size=6,
).map("".join)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(text=text.filter(lambda text: not any(name in text for name in ("<s>", "</s>", "<unk>", *NAMES))))
def test_ids_and_texts_are_those_of_sentencepiece(
    both: tuple[Tokenizer, sentencepiece.SentencePieceProcessor], text: str
) -> None:
    tokenizer, processor = both
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    assert ids == processor.encode(text)
    assert tokenizer.decode(ids) == processor.decode(ids)


def test_released_ids_are_kept_and_the_bos_is_added(tmp_path: Path) -> None:
    write_released_size(tmp_path)
    flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
    options = {"added_tokens_decoder": {"92397": {"content": "<|reward|>", **flags}}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(options))
    encoder = read_tokenizer(tmp_path)
    assert (encoder.ids.bos, encoder.ids.separator, encoder.ids.reward) == (1, 92397, 92527)
    assert encoder.vocab_size == 92544
    limits = Limits(max_length=64, max_response_length=20)
    (ids,) = encoder.encode_group(Text("a", "b"), [Text("a", "c")], limits)
    assert (ids[0], ids[-1]) == (1, 92527)
    assert ids.tolist().count(92397) == 1
    assert Tokenizer.from_str(encoder.to_json()).encode("a").ids[0] == 1


def test_a_base_models_folder_gets_the_separator_where_the_released_models_have_it(tmp_path: Path) -> None:
    write_released_size(tmp_path)
    assert read_tokenizer(tmp_path).ids.separator == 92397


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.model").write_bytes(b"no model")
    with pytest.raises(ConfigError, match=r"tokenizer\.model: not a sentencepiece model"):
        read_tokenizer(tmp_path)
    train(tmp_path, model_type="unigram", vocab_size=330)
    with pytest.raises(ConfigError, match=r"tokenizer\.model: expected a BPE model \(type 2\), got type 1"):
        read_tokenizer(tmp_path)
    train(tmp_path, user_defined_symbols=[])
    with pytest.raises(ConfigError, match=r"expected the special tokens <\|reward\|> and .*130\], found neither"):
        read_tokenizer(tmp_path)
    train(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text("[]")
    with pytest.raises(ConfigError, match=r"tokenizer_config\.json: expected an object, got list"):
        read_tokenizer(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text('{"added_tokens_decoder": {"900": {"content": "<|x|>"}}}')
    with pytest.raises(ConfigError, match=r"the added token <\|x\|> cannot have the id 900: ids leave a gap"):
        read_tokenizer(tmp_path)


def write_released_size(folder: Path) -> None:
    """A model with as many pieces as InternLM2's and the unused tokens at their places."""
    model: Any = sentencepiece_model_pb2.ModelProto()
    model.trainer_spec.model_type = 2
    model.trainer_spec.byte_fallback = True
    model.normalizer_spec.remove_extra_whitespaces = False
    for name, kind in (("<unk>", 2), ("<s>", 3), ("</s>", 3)):
        model.pieces.add(piece=name, score=0.0, type=kind)
    for byte in range(256):
        model.pieces.add(piece=f"<0x{byte:02X}>", score=0.0, type=6)
    for at in range(259, 92397):
        model.pieces.add(piece=chr(0x3400 + at % 0x6000) + "abcd"[: at // 0x6000], score=-float(at), type=1)
    for at in range(146):
        model.pieces.add(piece=f"[UNUSED_TOKEN_{at}]", score=0.0, type=4)
    model.pieces.add(piece="x", score=-1e6, type=1)
    (folder / "tokenizer.model").write_bytes(model.SerializeToString())
