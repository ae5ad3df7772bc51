"""A text in a row: a string, or a message list as chat data has it."""

from typing import Any

from polar.encode import Wrapper, flatten

WRAPPERS: tuple[Wrapper, ...] = ("pretrain", "sft")


def read_text_field(values: dict[str, Any], key: str) -> str:
    """The text under `key`, messages joined. ValueError names the key, what was expected and what was got."""
    value = values.get(key)
    text = value if isinstance(value, str) else _messages(key, value, key in values)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{key}: expected Unicode text, got a lone surrogate at character {error.start}") from error
    return text


def show(value: Any) -> str:
    """A value for a message, cut to 80 characters."""
    return repr(value)[:80]


def _messages(key: str, value: Any, present: bool) -> str:
    expected = f"{key}: expected a string or a list of messages with a string in content"
    if not present:
        raise ValueError(f"{expected}, the key is missing")
    if not isinstance(value, list) or not value:
        raise ValueError(f"{expected}, got {show(value)}")
    for message in value:
        if not isinstance(message, dict) or not isinstance(message.get("content"), str):
            raise ValueError(f"{expected}, got the message {show(message)}")
    return flatten(value)
