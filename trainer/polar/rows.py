"""Rows of training data from .jsonl, .jsonl.gz or .parquet files, or a folder of those. Checks only that rows parse."""

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from polar.errors import DataError

SUFFIXES = (".jsonl", ".jsonl.gz", ".parquet")
SHOWN = 20
OPTIONAL = ("prompt_id", "wrapper")
READ_AHEAD_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Row:
    """One row and where it stands; `line` counts lines (JSONL) or rows (Parquet) from 1."""

    file: Path
    line: int
    values: Any

    def where(self) -> str:
        """`file:line`, for messages."""
        return f"{self.file}:{self.line}"


class Problems:
    """Collects what is wrong with rows, so that one run reports many of them; keeps the first 20."""

    def __init__(self) -> None:
        self.count = 0
        self.shown: list[str] = []

    def add(self, where: str, message: str) -> None:
        """Note one malformed row."""
        self.count += 1
        if self.count <= SHOWN:
            self.shown.append(f"{where}: {message}")

    def wanted(self) -> bool:
        """Whether the next problem will be shown."""
        return self.count < SHOWN

    def raise_if_any(self) -> None:
        """DataError listing the first problems and the number of all, if there were any."""
        if self.count:
            more = [f"and {self.count - SHOWN} more"] if self.count > SHOWN else []
            noun = "row" if self.count == 1 else "rows"
            raise DataError("\n".join([f"{self.count} malformed {noun}:", *self.shown, *more]))


def read_rows(files: Iterable[Path], columns: tuple[str, ...], problems: Problems) -> Iterator[Row]:
    """All rows of some files, in memory that does not grow with them. Rows that do not parse go to `problems`.

    DataError for a file that cannot be read, and for a Parquet file without one of `columns`.
    """
    for file in files:
        try:
            yield from _read_parquet(file, columns) if file.suffix == ".parquet" else _read_lines(file, problems)
        except OSError as error:
            raise DataError(f"{file}: cannot read: {error.strerror or error}") from error
        except (EOFError, zlib.error) as error:
            raise DataError(f"{file}: damaged gzip file: {error}") from error
        except pyarrow.ArrowException as error:
            raise DataError(f"{file}: damaged Parquet file: {error}") from error


def list_files(path: Path) -> list[Path]:
    """The data files at `path`, those in folders of a folder too, by name. DataError when there is none."""
    names = ", ".join(SUFFIXES)
    try:
        if path.is_dir():
            files = sorted(p for p in path.rglob("*") if p.name.endswith(SUFFIXES) and p.is_file())
            if not files:
                raise DataError(f"{path}: expected at least one file ending in {names}, the folder has none")
            return files
        if not path.exists():
            raise DataError(f"{path}: no such file or folder")
    except OSError as error:
        raise DataError(f"{path}: cannot read: {error.strerror or error}") from error
    if not path.name.endswith(SUFFIXES):
        raise DataError(f"{path}: expected a name ending in {names}")
    return [path]


def parse_lines(lines: Iterable[bytes], file: Path, problems: Problems) -> Iterator[Row]:
    """Rows of JSON lines; empty lines are passed over, lines that do not parse go to `problems`."""
    for number, line in enumerate(lines, start=1):
        if line.isspace():
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:
            problems.add(f"{file}:{number}", f"not JSON: {error}")
            continue
        yield Row(file, number, values)


def _read_lines(file: Path, problems: Problems) -> Iterator[Row]:
    with gzip.open(file, "rb") if file.suffix == ".gz" else file.open("rb") as lines:
        yield from parse_lines(lines, file, problems)


def _read_parquet(file: Path, columns: tuple[str, ...]) -> Iterator[Row]:
    number = 0
    with pyarrow.parquet.ParquetFile(file, buffer_size=READ_AHEAD_BYTES, pre_buffer=False) as table:
        present = table.schema_arrow.names
        missing = [name for name in columns if name not in present]
        if missing:
            raise DataError(f"{file}: expected the columns {', '.join(columns)}, got {', '.join(present) or 'none'}")
        wanted = [name for name in (*columns, *OPTIONAL) if name in present]
        for batch in table.iter_batches(batch_size=256, columns=wanted):
            for values in batch.to_pylist():
                number += 1
                yield Row(file, number, values)
