"""Parsed JSON to frozen dataclasses by their type hints: strict about keys and types. Knows no option by name."""

import dataclasses
import json
import re
import types
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from polar.errors import ConfigError

T = TypeVar("T")
DECIMAL = re.compile(r"[0-9]+(\.[0-9]+)?(e-?[0-9]{1,2})?")


def read_text(path: Path) -> Any:
    """Parse a JSON file. ConfigError when it cannot be read or is not JSON."""
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: cannot read the run config: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{path}: not JSON: {error}") from error


def read_object(cls: type[T], value: Any, path: str) -> T:
    """An instance of the dataclass `cls` from a JSON object. ConfigError names `path` and the key."""
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: expected an object, got {_show(value)}")
    assert dataclasses.is_dataclass(cls)
    fields = {camel(f.name): f for f in dataclasses.fields(cls)}
    hints = get_type_hints(cls)
    for key in value:
        if key not in fields:
            raise ConfigError(f"{_at(path, key)}: unknown key, expected one of {', '.join(sorted(fields))}")
    arguments = {}
    for key, field in fields.items():
        if key in value:
            arguments[field.name] = _read(hints[field.name], value[key], _at(path, key))
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ConfigError(f"{_at(path, key)}: missing key")
    try:
        return cls(**arguments)
    except ValueError as error:
        raise ConfigError(_at(path, str(error))) from error


def need(holds: bool, key: str, expected: str, got: object) -> None:
    """ValueError that names the option unless `holds`; `read_object` adds the path in front."""
    if not holds:
        raise ValueError(f"{key}: expected {expected}, got {got}")


def camel(name: str) -> str:
    """snake_case to camelCase: learning_rate -> learningRate."""
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)


def _read(hint: Any, value: Any, path: str) -> Any:
    if get_origin(hint) in (Union, types.UnionType):
        hint = next(h for h in get_args(hint) if h is not type(None))
    if dataclasses.is_dataclass(hint):
        assert isinstance(hint, type)
        return read_object(hint, value, path)
    if get_origin(hint) is Literal:
        return _choice(get_args(hint), value, path)
    if get_origin(hint) is tuple:
        return _list(get_args(hint)[0], value, path)
    return _scalar(hint, value, path)


def _choice(choices: tuple[str, ...], value: Any, path: str) -> str:
    if not isinstance(value, str) or value not in choices:
        raise ConfigError(f"{path}: expected {' or '.join(choices)}, got {_show(value)}")
    return str(value)


def _list(hint: Any, value: Any, path: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise ConfigError(f"{path}: expected a list, got {_show(value)}")
    return tuple(_read(hint, item, f"{path}[{place}]") for place, item in enumerate(value))


def _scalar(hint: type, value: Any, path: str) -> Any:
    if hint is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if hint in (str, bool) and isinstance(value, hint):
        return value
    if hint is float and isinstance(value, str) and DECIMAL.fullmatch(value):
        return float(value)
    expected = {
        int: "a whole number",
        str: "a string",
        bool: "true or false",
        float: 'a decimal string such as "0.001"',
    }[hint]
    raise ConfigError(f"{path}: expected {expected}, got {_show(value)}")


def _at(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _show(value: Any) -> str:
    return json.dumps(value)[:80]
