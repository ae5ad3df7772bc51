"""What a row of training data must hold: which keys, of which types. Knows nothing of files."""

from dataclasses import dataclass
from typing import Any

from polar.rows import Row
from polar.texts import WRAPPERS, read_text_field, show


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of rows: the texts that answer the prompt, and whether a policy wrote them."""

    name: str
    texts: tuple[str, ...]
    policy: bool

    @property
    def columns(self) -> tuple[str, ...]:
        """The keys that every row has."""
        return ("prompt", *self.texts, *(("policy",) if self.policy else ()))


TRAJECTORIES = Kind("trajectories", ("output",), policy=True)
PREFERENCES = Kind("preferences", ("reference", "chosen", "rejected"), policy=False)


@dataclass(frozen=True, slots=True)
class Checked:
    """The parts of a good row. Without ids of its own a prompt has none; `wrapper` counts in WRAPPERS."""

    prompt: bytes
    prompt_id: str | None
    texts: list[bytes]
    policy: str
    wrapper: int


def check(row: Row, kind: Kind, wrapper: int) -> Checked:
    """A row's parts; `wrapper` is for rows without one. ValueError names the key, what was expected and got."""
    values = row.values
    if not isinstance(values, dict):
        raise ValueError(f"expected an object with keys {', '.join(kind.columns)}, got {show(values)}")
    prompt, *texts = [read_text_field(values, key).encode() for key in ("prompt", *kind.texts)]
    policy = _name(values, "policy") if kind.policy else ""
    prompt_id = None if values.get("prompt_id") is None else _name(values, "prompt_id")
    own = values.get("wrapper")
    if own is not None and own not in WRAPPERS:
        raise ValueError(f"wrapper: expected {' or '.join(WRAPPERS)}, got {show(own)}")
    return Checked(prompt, prompt_id, texts, policy, wrapper if own is None else WRAPPERS.index(own))


def _name(values: dict[str, Any], key: str) -> str:
    value = values.get(key)
    if not isinstance(value, str) or not value:
        got = show(value) if key in values else "no such key"
        raise ValueError(f"{key}: expected a string that is not empty, got {got}")
    return value
