"""The tokenizer of an InternLM2 folder, which has tokenizer.model (sentencepiece BPE) and no tokenizer.json.

Made into a `tokenizers` tokenizer the way Hugging Face's fast tokenizers do it: the merges of a piece are all its
splits into two pieces, a piece with a higher score first. Control pieces and the added tokens of the configuration are
special; user-defined pieces ([UNUSED_TOKEN_130] is one) are matched whole but stay text.
"""

import json
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError
from sentencepiece import sentencepiece_model_pb2
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors

from polar.encode import SEPARATOR

SLOT = "[UNUSED_TOKEN_0]"  # the released POLAR models have <|reward|> in its place
SPACE = "\u2581"
NORMAL, UNKNOWN, CONTROL, USER_DEFINED = 1, 2, 3, 4
BPE = 2


def read_internlm2(folder: Path) -> Tokenizer:
    """The tokenizer of a folder. ValueError names the file, what was expected and what was got; OSError as it comes."""
    proto = _parse(folder / "tokenizer.model")
    options = _options(folder)
    added = _added_tokens(options, proto, folder)
    pieces = [added[at].content if at in added else piece.piece for at, piece in enumerate(proto.pieces)]
    tokenizer = Tokenizer(
        models.BPE(
            vocab={piece: at for at, piece in enumerate(pieces)},
            merges=_merges(proto),
            unk_token=proto.trainer_spec.unk_piece,
            fuse_unk=True,
            byte_fallback=proto.trainer_spec.byte_fallback,
        )
    )
    prefix = proto.normalizer_spec.add_dummy_prefix
    tokenizer.normalizer = _normalizer(proto, prefix)
    steps = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence([*steps, decoders.Strip(" ", left=1)] if prefix else steps)
    for at in sorted(added):
        tokenizer.add_tokens([added[at]])
        if tokenizer.token_to_id(added[at].content) != at:
            raise ValueError(f"{folder}: the added token {added[at].content} cannot have the id {at}: ids leave a gap")
    _add_bos_and_eos(tokenizer, options, proto)
    return tokenizer


def _parse(file: Path) -> Any:
    proto: Any = sentencepiece_model_pb2.ModelProto()  # type: ignore[attr-defined]
    try:
        proto.ParseFromString(file.read_bytes())
    except DecodeError as error:
        raise ValueError(f"{file}: not a sentencepiece model: {error}") from error
    if proto.trainer_spec.model_type != BPE:
        raise ValueError(f"{file}: expected a BPE model (type {BPE}), got type {proto.trainer_spec.model_type}")
    if proto.normalizer_spec.remove_extra_whitespaces:
        raise ValueError(f"{file}: expected remove_extra_whitespaces false as in InternLM2, got true")
    return proto


def _options(folder: Path) -> dict[str, Any]:
    file = folder / "tokenizer_config.json"
    if not file.exists():
        return {}
    try:
        options = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file}: expected JSON: {error}") from error
    if not isinstance(options, dict):
        raise ValueError(f"{file}: expected an object, got {type(options).__name__}")
    return options


def _added_tokens(options: dict[str, Any], proto: Any, folder: Path) -> dict[int, AddedToken]:
    """Tokens that are matched whole, by id. The configuration wins over added_tokens.json, that over the model."""
    found = {
        at: AddedToken(piece.piece, special=piece.type != USER_DEFINED, normalized=False)
        for at, piece in enumerate(proto.pieces)
        if piece.type in (UNKNOWN, CONTROL, USER_DEFINED)
    }
    file = folder / "added_tokens.json"
    if file.exists():
        names = json.loads(file.read_text(encoding="utf-8"))
        found |= {int(at): AddedToken(name, special=True, normalized=False) for name, at in names.items()}
    for at, token in options.get("added_tokens_decoder", {}).items():
        flags = {name: bool(token.get(name)) for name in ("special", "lstrip", "rstrip", "single_word", "normalized")}
        found[int(at)] = AddedToken(token["content"], **flags)
    names = [piece.piece for piece in proto.pieces]
    if SLOT in names and SEPARATOR not in [token.content for token in found.values()]:
        found[names.index(SLOT)] = AddedToken(SEPARATOR, special=True, normalized=False)
    return found


def _merges(proto: Any) -> list[tuple[str, str]]:
    normal = {piece.piece: (at, piece.score) for at, piece in enumerate(proto.pieces) if piece.type == NORMAL}
    found = []
    for piece, (_, score) in normal.items():
        splits = [(piece[:cut], piece[cut:]) for cut in range(len(piece) - 1, 0, -1)]
        found += [(-score, left, right) for left, right in splits if left in normal and right in normal]
    found.sort(key=lambda merge: merge[0])  # stable: of one piece, the split with the longer left part goes first
    return [(left, right) for _, left, right in found]


def _normalizer(proto: Any, prefix: bool) -> normalizers.Normalizer:
    steps: list[normalizers.Normalizer] = []
    if proto.normalizer_spec.precompiled_charsmap:
        steps.append(normalizers.Precompiled(proto.normalizer_spec.precompiled_charsmap))
    if prefix:
        steps.append(normalizers.Prepend(SPACE))
    return normalizers.Sequence([*steps, normalizers.Replace(" ", SPACE)])


def _add_bos_and_eos(tokenizer: Tokenizer, options: dict[str, Any], proto: Any) -> None:
    bos, eos = proto.trainer_spec.bos_piece, proto.trainer_spec.eos_piece
    before = [bos] if options.get("add_bos_token", True) else []
    after = [eos] if options.get("add_eos_token", False) else []
    used = [(name, tokenizer.token_to_id(name)) for name in (*before, *after)]
    single, pair = [*before, "$A", *after], [*before, "$A", *after, *before, "$B", *after]
    tokenizer.post_processor = processors.TemplateProcessing(single=single, pair=pair, special_tokens=used)
