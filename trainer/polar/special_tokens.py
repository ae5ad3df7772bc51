"""The tokens of a tokenizer that are more than text: found by name, and kept out of texts."""

from collections.abc import Sequence

from tokenizers import AddedToken, Tokenizer, processors

from polar.encode import REWARD, SEPARATOR, SpecialIds

PAD = "<pad>"
BOS = "<s>"
PAD_NAMES = (PAD, "</s>", "<|endoftext|>", "<unk>")
BOS_NAMES = (BOS, "<|begin_of_text|>", "<|startoftext|>", "[CLS]")


def find_special_ids(tokenizer: Tokenizer, source: str) -> SpecialIds:
    """The ids that sequences are built with. ValueError names `source`, what was expected and what was found."""
    separator, reward = tokenizer.token_to_id(SEPARATOR), tokenizer.token_to_id(REWARD)
    if separator is None or reward is None:
        found = "neither" if separator == reward else f"only {SEPARATOR if reward is None else REWARD}"
        raise ValueError(f"{source}: expected the special tokens {SEPARATOR} and {REWARD}, found {found}")
    _match_whole(tokenizer, {SEPARATOR: separator, REWARD: reward})
    bos, pad = (_find(tokenizer, names, source) for names in (BOS_NAMES, PAD_NAMES))
    return SpecialIds(bos=bos, pad=pad, separator=separator, reward=reward)


def special_names(tokenizer: Tokenizer) -> list[str]:
    """The names that must not become tokens when they are written in a text."""
    special = [token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special]
    return [SEPARATOR, REWARD, *special]


def make_it_add_bos(tokenizer: Tokenizer, bos: int) -> None:
    """Makes a tokenizer that adds no special tokens add the BOS, as POLAR's does: servers tokenise with its file."""
    if tokenizer.encode("").ids:
        return
    name = tokenizer.id_to_token(bos)
    template = processors.TemplateProcessing(single=f"{name} $A", pair=f"{name} $A $B", special_tokens=[(name, bos)])
    present = tokenizer.post_processor
    tokenizer.post_processor = template if present is None else processors.Sequence([present, template])


def _match_whole(tokenizer: Tokenizer, ids: dict[str, int]) -> None:
    """Some vocabularies have the two as ordinary entries only: a server would take the written name apart."""
    for name, at in ids.items():
        if tokenizer.encode(name, add_special_tokens=False).ids != [at]:
            tokenizer.add_tokens([AddedToken(name, special=name == SEPARATOR, normalized=False)])


def _find(tokenizer: Tokenizer, names: Sequence[str], source: str) -> int:
    for name in names:
        found = tokenizer.token_to_id(name)
        if found is not None:
            return int(found)
    raise ValueError(f"{source}: expected the special token {' or '.join(names)}, found none")
