"""Makes the tokenizers of testdata/encoding. Needed only when they shall change: the goldens are made anew after it.

cd trainer && .venv/bin/python tests/make_encoding_tokenizers.py && .venv/bin/python tests/make_encoding_goldens.py
"""

import io
import json
import sys
from pathlib import Path

import sentencepiece
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

sys.path.insert(0, str(Path(__file__).parents[1]))
from polar.encode import REWARD, SEPARATOR
from polar.internlm2_tokenizer import read_internlm2
from polar.tokenizer import TextEncoder, train_tokenizer

FOLDER = Path(__file__).parents[2] / "testdata/encoding"
SPECIAL = ["<pad>", "<s>", SEPARATOR, REWARD]
WORD = r"(?i:'s|'t|'re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
CORPUS = [
    "The reward model reads the reference first and the candidate after it, with the same prompt in front of both.",
    "A token may begin in the prompt and end in the response when nothing stands between them.\n\nIt often does.",
    "  indented lines\n    and deeper ones\n\tand tabs, numbers like 12, 345 and 6789, and signs: (a + b) * c != d",
    "Zażółć gęślą jaźń. Grüße aus Köln. Où est la bibliothèque? Ελληνικά και русский текст.",
    "日本語の文章と中文句子。한국어 문장도 있습니다.",
    "What is the capital of Poland? Warsaw is the capital of Poland. It's a large city on the river Vistula.",
]


def main() -> None:
    write("bytelevel", train_tokenizer(CORPUS, 448).to_json())
    write("nfkc", nfkc())
    write("metaspace", metaspace())
    internlm2()


def write(name: str, text: str) -> None:
    """tokenizer.json and what the official code needs to open it."""
    folder = FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_text(text + "\n", encoding="utf-8")
    options = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "clean_up_tokenization_spaces": False}
    (folder / "tokenizer_config.json").write_text(json.dumps(options) + "\n")


def nfkc() -> str:
    """Byte-level BPE behind a normalizer that changes texts, with a pattern like those of newer models."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFKC()
    split = pre_tokenizers.Split(Regex(WORD), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return TextEncoder(tokenizer, "nfkc").to_json()


def metaspace() -> str:
    """A tokenizer for which the beginning of a sequence differs from what stands behind a separator."""
    trained = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    trained.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    trained.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    special = ["<unk>", *SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=480, special_tokens=special, show_progress=False)
    trained.train_from_iterator(CORPUS, trainer)
    data = json.loads(trained.to_str())
    data["added_tokens"] = [token for token in data["added_tokens"] if not token["content"].startswith("<0x")]
    return TextEncoder(Tokenizer.from_str(json.dumps(data)), "metaspace").to_json()


def internlm2() -> None:
    """A folder as InternLM2 has it; beside it the tokenizer.json that the trainer makes of it."""
    folder = FOLDER / "internlm2"
    folder.mkdir(parents=True, exist_ok=True)
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([line for text in CORPUS for line in text.split("\n")]),
        model_writer=model,
        model_type="bpe",
        vocab_size=520,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        allow_whitespace_only_pieces=True,
        character_coverage=0.98,
        user_defined_symbols=["[UNUSED_TOKEN_0]", REWARD, "[UNUSED_TOKEN_145]"],
        num_threads=1,
        minloglevel=2,
    )
    (folder / "tokenizer.model").write_bytes(model.getvalue())
    flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
    names = {"0": "<unk>", "1": "<s>", "2": "</s>", "3": SEPARATOR, "5": "<|im_end|>"}
    options = {
        "added_tokens_decoder": {at: {"content": name, **flags} for at, name in names.items()},
        "bos_token": "<s>",
        "clean_up_tokenization_spaces": False,
        "tokenizer_class": "InternLM2Tokenizer",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(options) + "\n")
    encoder = TextEncoder(read_internlm2(folder), "internlm2")
    (folder / "tokenizer.json").write_text(encoder.to_json() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
