"""Tables of official data sets, from a folder or the hub, and what may go wrong with them by file and row."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expunge.core.errors import InputError
from expunge.registry import suggestion

SUFFIXES = (".json", ".jsonl", ".txt")
TEXTS = (".txt", ".md")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table; ``where`` names its file and 1-based number."""

    values: Mapping[str, Any]
    where: str

    def get(self, key: str) -> Any:
        """A required column."""
        if key not in self.values:
            near = suggestion(key, [str(column) for column in self.values])
            raise InputError(f"{self.where}: the column {key!r} is missing; {near}")
        return self.values[key]

    def text(self, key: str) -> str:
        """A required column that holds a non-empty string."""
        value = self.get(key)
        if not isinstance(value, str):
            raise InputError(f"{self.where}: {key!r} must be a string, not {type(value).__name__}; correct the row.")
        if not value.strip():
            raise InputError(f"{self.where}: empty {key}; fill it in or remove the row.")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A required column that holds a list of non-empty strings."""
        value = self.get(key)
        if not isinstance(value, Sequence) or isinstance(value, str) or not value:
            raise InputError(f"{self.where}: {key!r} must be a list of strings; correct the row.")
        if not all(isinstance(item, str) and item.strip() for item in value):
            raise InputError(f"{self.where}: {key!r} holds an empty string or none at all; correct the row.")
        return tuple(value)


Table = tuple[Row, ...]


def data_folder(data: str | None, default: str) -> Path:
    """The folder ``data``; without it ``$EXPUNGE_DATA/<default>``. :class:`InputError` where it does not exist."""
    folder = Path(data) if data else Path(os.environ.get("EXPUNGE_DATA", "../shared/data")) / default
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; set data to the folder with the data set, or EXPUNGE_DATA above it.")
    return folder


@dataclass(frozen=True, slots=True)
class Source:
    """A data set of the hub, or a folder with its tables as ``<config>/<split>.json``, ``.jsonl`` or ``.txt``."""

    folder: Path | None
    hub: str

    @classmethod
    def of(cls, data: str | None, hub: str, default: str) -> "Source":
        """``data`` is a folder or the hub name ``hub``; without it the folder ``$EXPUNGE_DATA/<default>``."""
        from_hub = data == hub and not Path(hub).is_dir()
        return cls(None if from_hub else data_folder(data, default), hub)

    def table(self, config: str, split: str) -> Table:
        """The rows of one split. Raises :class:`InputError` where it does not exist."""
        if self.folder is None:
            return _from_hub(self.hub, config, split)
        here = self.folder / config
        found = [here / f"{split}{suffix}" for suffix in SUFFIXES if (here / f"{split}{suffix}").is_file()]
        if not found:
            splits = [path.stem for path in sorted(here.glob("*")) if path.suffix in SUFFIXES]
            raise InputError(f"{here} has no split {split!r} (.json, .jsonl or .txt); {suggestion(split, splits)}")
        return read_table(found[0])

    def optional(self, config: str, split: str) -> Table:
        """The rows of one split, none where a folder lacks it; the hub has every split of the official data set."""
        here = None if self.folder is None else self.folder / config
        absent = here is not None and not any((here / f"{split}{suffix}").is_file() for suffix in SUFFIXES)
        return () if absent else self.table(config, split)


def read_table(path: Path) -> Table:
    """The rows of a JSON list, of JSON lines, or of a text file (one row, column ``text``).

    A row that is a bare string becomes its column ``text``. Raises :class:`InputError` naming file and row.
    """
    if path.suffix == ".txt":
        return _rows([read_text(path)], path)
    if path.suffix == ".jsonl":
        return tuple(_lines(path))
    value = read_json(path)
    if not isinstance(value, list):
        raise InputError(f"{path}: a list of rows is needed, not {type(value).__name__}; fetch the data set again.")
    return _rows(value, path)


def read_json(path: Path) -> Any:
    """The value of a JSON file."""
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise InputError(f"{path}, line {error.lineno}: not JSON ({error.msg}); fetch the data set again.") from error


def read_text(path: Path) -> str:
    """The text of a file in UTF-8."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check the folder.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8; save the file in UTF-8.") from error


def read_texts(place: str) -> Table:
    """The text of a file, or of every ``.txt`` and ``.md`` file of a folder, in order of their names, one a row."""
    path = Path(place)
    files = sorted(file for file in path.rglob("*") if file.suffix in TEXTS) if path.is_dir() else [path]
    if not files:
        raise InputError(f"{path} has no {' or '.join(TEXTS)} file; name a text file or a folder of them.")
    rows = tuple(Row({"text": read_text(file)}, str(file)) for file in files)
    for row in rows:
        row.text("text")  # an empty file is named, not skipped
    return rows


def _lines(path: Path) -> Iterator[Row]:
    count = 0
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if line.strip():
            count += 1
            try:
                yield _row(json.loads(line), f"{path}, row {number}")
            except json.JSONDecodeError as error:
                raise InputError(f"{path}, row {number}: not JSON ({error.msg}); correct the row.") from error
    if not count:
        raise InputError(f"{path} holds no row; fetch the data set again.")


def _rows(values: Sequence[Any], path: Path) -> Table:
    if not values:
        raise InputError(f"{path} holds no row; fetch the data set again.")
    return tuple(_row(value, f"{path}, row {number}") for number, value in enumerate(values, 1))


def _row(value: Any, where: str) -> Row:
    if isinstance(value, str):
        return Row({"text": value}, where)
    if not isinstance(value, Mapping):
        raise InputError(f"{where}: an object or a string is needed, not {type(value).__name__}; correct the row.")
    return Row(value, where)


def _from_hub(name: str, config: str, split: str) -> Table:
    try:
        from datasets import load_dataset
    except ImportError:
        raise InputError(f"{name} from the hub needs the package datasets; install expunge[hub].") from None
    try:
        loaded = load_dataset(name, config, split=split)
    except Exception as error:
        raise InputError(f"{name} {config}/{split} is not to be had ({error}); check it or use a folder.") from error
    return tuple(Row(dict(row), f"{name} {config}/{split}, row {number}") for number, row in enumerate(loaded, 1))
