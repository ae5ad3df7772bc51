"""Training data in memory: trajectories of a policy pool and ranked preference triplets, checked row by row.

Rows are put in an order of their own (prompt, policy, text), so that nothing depends on the order in the files. Prompts
of one text are one prompt, whatever their ids.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from polar.encode import Ids, Wrapper
from polar.errors import DataError
from polar.rows import Problems, Row, read_rows
from polar.texts import WRAPPERS, read_text_field, show

Index = npt.NDArray[np.int64]


@dataclass(kw_only=True, frozen=True, slots=True)
class Source:
    """Where each row came from."""

    files: list[str]
    file: Index
    line: Index

    def where(self, row: int) -> str:
        """`file:line` of one row."""
        return f"{self.files[self.file[row]]}:{self.line[row]}"


@dataclass(kw_only=True, frozen=True, slots=True)
class Trajectories:
    """A policy pool's answers. Row r: policies[policy[r]] answered prompts[prompt[r]] with outputs[r]."""

    prompt_ids: list[str]
    prompts: list[str]
    policies: list[str]
    prompt: Index
    policy: Index
    wrapper: list[Wrapper]
    outputs: list[str]
    source: Source
    skipped_empty: int
    skipped_repeated: int


@dataclass(kw_only=True, frozen=True, slots=True)
class Preferences:
    """Ranked triplets. Row r has texts[3r] = reference, texts[3r + 1] = chosen, texts[3r + 2] = rejected."""

    prompt_ids: list[str]
    prompts: list[str]
    prompt: Index
    wrapper: list[Wrapper]
    texts: list[str]
    source: Source


@dataclass(frozen=True, slots=True)
class TokenStore:
    """Many token sequences in one flat array."""

    ids: Ids
    offsets: Index

    def __getitem__(self, item: int) -> Ids:
        return self.ids[self.offsets[item] : self.offsets[item + 1]]

    def __len__(self) -> int:
        return len(self.offsets) - 1


def store_tokens(sequences: Iterable[Ids], cut: Callable[[Ids], Ids]) -> TokenStore:
    """Collect sequences, each shortened by `cut`, into one flat array."""
    parts: list[Ids] = []
    lengths = [0]
    for sequence in sequences:
        kept = cut(sequence)
        parts.append(kept.copy())
        lengths.append(len(kept))
    ids = np.concatenate(parts) if parts else np.zeros(0, dtype=np.int32)
    return TokenStore(ids, np.cumsum(lengths, dtype=np.int64))


def read_trajectories(path: str | Path, wrapper: Wrapper) -> Trajectories:
    """Rows {prompt_id?, prompt, policy, output, wrapper?}. `wrapper` is for rows without one.

    Rows with an empty output are skipped and counted, and so are repeated ones: a positive that is a copy of its
    reference teaches to look for copies. DataError names file, line, key, expected and got.
    """
    rows, prompts = _read(Path(path), ("prompt", "output"), ("policy",))
    kept = [row for row in rows if row.texts["output"]]
    if not kept:
        raise DataError(f"{path}: expected rows of prompt, policy and output, found none with an output")
    kept.sort(key=_place)
    found, kept = len(kept), [next(same) for _, same in groupby(kept, key=_place)]
    policies = sorted({row.names["policy"] for row in kept})
    policy_index = {name: i for i, name in enumerate(policies)}
    return Trajectories(
        **_prompt_columns(kept, prompts),
        policies=policies,
        policy=np.array([policy_index[row.names["policy"]] for row in kept], dtype=np.int64),
        wrapper=[row.wrapper or wrapper for row in kept],
        outputs=[row.texts["output"] for row in kept],
        skipped_empty=len(rows) - found,
        skipped_repeated=found - len(kept),
    )


def read_preferences(path: str | Path, wrapper: Wrapper) -> Preferences:
    """Rows {prompt_id?, prompt, reference, chosen, rejected, wrapper?}. DataError names file, line, key and values."""
    parts = ("reference", "chosen", "rejected")
    rows, prompts = _read(Path(path), ("prompt", *parts), ())
    if not rows:
        raise DataError(f"{path}: expected rows of prompt, reference, chosen and rejected, found none")
    rows.sort(key=lambda row: (row.prompt_id, *(row.texts[part] for part in parts)))
    return Preferences(
        **_prompt_columns(rows, prompts),
        wrapper=[row.wrapper or wrapper for row in rows],
        texts=[row.texts[part] for row in rows for part in parts],
    )


@dataclass(frozen=True, slots=True)
class _Checked:
    """A row that passed its checks."""

    row: Row
    prompt_id: str
    texts: dict[str, str]
    names: dict[str, str]
    wrapper: Wrapper | None


def _place(row: _Checked) -> tuple[str, str, str]:
    return row.prompt_id, row.names["policy"], row.texts["output"]


def _read(path: Path, texts: tuple[str, ...], names: tuple[str, ...]) -> tuple[list[_Checked], dict[str, str]]:
    problems = Problems()
    checked: list[_Checked] = []
    prompts: dict[str, str] = {}
    for row in read_rows(path, problems):
        try:
            one = _check(row, texts, names)
            known = prompts.setdefault(one.prompt_id, one.texts["prompt"])
            if known != one.texts["prompt"]:
                raise ValueError(f"prompt_id: {one.prompt_id!r} stands for another prompt in an earlier row")
        except ValueError as error:
            problems.add(row.where(), str(error))
            continue
        del one.texts["prompt"]
        checked.append(_Checked(Row(row.file, row.line, None), one.prompt_id, one.texts, one.names, one.wrapper))
    problems.raise_if_any()
    return _one_id_per_prompt(checked, prompts)


def _one_id_per_prompt(rows: list[_Checked], prompts: dict[str, str]) -> tuple[list[_Checked], dict[str, str]]:
    """One prompt under several ids gets the first of them, or it could be in training and held out at once."""
    ids: dict[str, str] = {}
    for prompt_id in sorted(prompts):
        ids.setdefault(prompts[prompt_id], prompt_id)
    if len(ids) == len(prompts):
        return rows, prompts
    merged = [replace(row, prompt_id=ids[prompts[row.prompt_id]]) for row in rows]
    return merged, {prompt_id: text for text, prompt_id in ids.items()}


def _check(row: Row, texts: tuple[str, ...], names: tuple[str, ...]) -> _Checked:
    values = row.values
    if not isinstance(values, dict):
        raise ValueError(f"expected an object with keys {', '.join((*texts, *names))}, got {show(values)}")
    found = {key: read_text_field(values, key) for key in texts}
    named = {key: _name(values, key) for key in names}
    prompt_id = found["prompt"] if values.get("prompt_id") is None else _name(values, "prompt_id")
    wrapper = values.get("wrapper")
    if wrapper is not None and wrapper not in WRAPPERS:
        raise ValueError(f"wrapper: expected {' or '.join(WRAPPERS)}, got {show(wrapper)}")
    return _Checked(row, prompt_id, found, named, cast(Wrapper | None, wrapper))


def _name(values: dict[str, Any], key: str) -> str:
    value = values.get(key)
    if not isinstance(value, str) or not value:
        got = show(value) if key in values else "no such key"
        raise ValueError(f"{key}: expected a string that is not empty, got {got}")
    return value


def _prompt_columns(rows: list[_Checked], prompts: dict[str, str]) -> dict[str, Any]:
    used = sorted({row.prompt_id for row in rows})
    index = {prompt_id: i for i, prompt_id in enumerate(used)}
    files = sorted({str(row.row.file) for row in rows})
    file_index = {name: i for i, name in enumerate(files)}
    return {
        "prompt_ids": used,
        "prompts": [prompts[prompt_id] for prompt_id in used],
        "prompt": np.array([index[row.prompt_id] for row in rows], dtype=np.int64),
        "source": Source(
            files=files,
            file=np.array([file_index[str(row.row.file)] for row in rows], dtype=np.int64),
            line=np.array([row.row.line for row in rows], dtype=np.int64),
        ),
    }
