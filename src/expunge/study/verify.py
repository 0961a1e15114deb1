"""Is a study still what it was: hashes of configs, inputs and outputs, and a sample of rows scored again."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expunge.core.errors import ExpungeError, InputError
from expunge.core.files import file_hash, read_json, stable_hash
from expunge.models.load import load as load_model
from expunge.study import facts_io, rescore
from expunge.study.plan import study_of
from expunge.study.recipe import load
from expunge.study.record import SCHEMA
from expunge.study.status import recipe_of
from expunge.study.yaml import read

KEYS: Mapping[str, type | tuple[type, ...]] = {
    "kind": str, "label": str, "hash": str, "seeds": list, "started": str, "wall_s": (int, float),
    "peak_memory_mb": (int, float), "tokens": int, "threads": int, "versions": dict, "hashes": dict, "inputs": dict,
    "metrics": dict,
}  # fmt: skip
"""What every record of schema 1 holds."""


@dataclass(frozen=True, slots=True)
class Check:
    """What was found of one cell: ``problems`` differ, ``notes`` could not be checked, ``rows`` were scored again."""

    cell: str
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    rows: int = 0


@dataclass(frozen=True, slots=True)
class Verified:
    """The whole study; the last check, ``study``, is of the files beside the cells."""

    folder: Path
    checks: tuple[Check, ...]

    @property
    def problems(self) -> list[str]:
        """One sentence each, naming the cell."""
        return [f"{check.cell}: {problem}" for check in self.checks for problem in check.problems]


def verify(run: Path, rows: int = 20) -> Verified:
    """Check every finished cell of the study in ``run``; at most ``rows`` rows of each are scored again.

    The rows are drawn by a seed that follows from the cell's hash. Raises :class:`InputError` when ``run`` is no study.
    """
    recipe_of(run)
    if rows < 0:
        raise InputError(f"rows must be at least 0, not {rows}; correct it.")
    folders = sorted(path for path in (run / "cells").glob("[!.]*") if path.is_dir())
    return Verified(run, (*(_cell(folder, rows) for folder in folders), _study(run)))


def _cell(folder: Path, rows: int) -> Check:
    """One cell; what cannot be read at all ends its check."""
    try:
        record = _record(folder)
        if record["status"] == "failed":
            return Check(folder.name, notes=(f"failed: {record['error']}",))
        config = read(folder / "config.yaml")
        problems = [*_schema(record), *_identity(folder, config, record), *_inputs(folder, config)]
        problems += list(_files(folder, record)) or list(_contents(folder, config, record))
        if problems:
            return Check(folder.name, tuple(problems))
        found = rescore.rescored(folder, config, record, rows)
    except (ExpungeError, OSError, KeyError, TypeError, AttributeError, ValueError) as error:
        return Check(folder.name, (_said(error),))
    return Check(folder.name, tuple(found.problems), tuple(found.notes), found.rows)


def _said(error: Exception) -> str:
    """One sentence about what could not be read."""
    known = isinstance(error, ExpungeError | OSError)
    return str(error) if known else f"a file of it is malformed ({type(error).__name__}: {error})."


def _record(folder: Path) -> Mapping[str, Any]:
    record = read_json(folder / "record.json")
    if not isinstance(record, dict) or record.get("status") not in ("done", "failed"):
        raise InputError("record.json says neither done nor failed.")
    return record


def _schema(record: Mapping[str, Any]) -> Iterator[str]:
    if record.get("schema") != SCHEMA:
        yield f"record.json has schema {record.get('schema')!r}, this version writes {SCHEMA}."
    for key, kind in KEYS.items():
        if not isinstance(record.get(key), kind):
            yield f"record.json has {record.get(key)!r:.60} under {key!r}."


def _identity(folder: Path, config: Mapping[str, Any], record: Mapping[str, Any]) -> Iterator[str]:
    """The hash of kind, config and inputs is the one in the folder's name."""
    if f"{config['kind']}-{str(config['hash'])[:12]}" != folder.name or record.get("hash") != config["hash"]:
        yield "config.yaml, record.json and the folder's name give different hashes."
    elif config["hash"] not in _possible(folder, config):
        yield "the hash of config.yaml and its inputs is not the one in the folder's name."


def _possible(folder: Path, config: Mapping[str, Any]) -> Iterator[str]:
    """The hash with every input, and with one left out: an input whose content is hashed in the config already."""
    inputs = {name: _input_hash(folder.parent / item) for name, item in config["inputs"].items()}
    for left_out in (None, *inputs):
        counted = {name: value for name, value in inputs.items() if name != left_out}
        yield stable_hash({"kind": config["kind"], "config": config["config"], "inputs": counted})


def _input_hash(folder: Path) -> str:
    try:
        return str(read(folder / "config.yaml")["hash"])
    except (InputError, KeyError, TypeError, NotADirectoryError):
        return ""


def _inputs(folder: Path, config: Mapping[str, Any]) -> Iterator[str]:
    """Every input is there and done, and its model is the one that this cell read."""
    own = read_json(folder / "record.json").get("hashes", {}).get("model")
    for name, item in config["inputs"].items():
        try:
            record = _record(folder.parent / item)
        except InputError as error:
            yield f"its input {item} ({name}) is not usable: {error}"
            continue
        if record["status"] != "done":
            yield f"its input {item} ({name}) is not done."
        elif name == "model" and config["kind"] in ("attack", "evaluate") and record["hashes"].get("model") != own:
            yield f"it read another model than {item} now holds by its record."


def _files(folder: Path, record: Mapping[str, Any]) -> Iterator[str]:
    """Every file has the hash that the record gives; a dropped model's may be absent together."""
    dropped = not (folder / "model").exists()
    for name, expected in record.get("files", {}).items():
        path = folder / name
        if name.startswith("model/") and dropped:
            continue
        if not path.is_file():
            yield f"{name} is missing."
        elif file_hash(path) != expected:
            yield f"{name} was changed after the cell was done."


def _contents(folder: Path, config: Mapping[str, Any], record: Mapping[str, Any]) -> Iterator[str]:
    """Samples are rows, facts and weights have the fingerprints of the record."""
    rows = (folder / "samples.jsonl").read_text(encoding="utf-8").split("\n")
    for row in filter(None, rows):
        json.loads(row)
    if config["kind"] == "knowledge" and not record.get("facts_redacted"):
        facts = facts_io.read(folder).knowledge
        if facts_io.fingerprint([*facts.forget, *facts.retain_train, *facts.retain_eval]) != record["hashes"]["data"]:
            yield "the facts in knowledge.json have another hash than the record says."
    if (folder / "model").is_dir():
        fingerprint = load_model(folder / "model").fingerprint
        if fingerprint != record["hashes"].get("model"):
            yield "the weights in model/ have another fingerprint than the record says."


def _study(run: Path) -> Check:
    """The index follows from the recipe, and audit.json is the audit cell's."""
    try:
        study = study_of(load(run / "recipe.yaml"))
        problems = []
        if read_json(run / "index.json") != study.index():
            problems.append("index.json does not follow from recipe.yaml.")
        for last, name in ((study.audit, "audit.json"), (study.examine, "examine.json")):
            folder = last.folder if last is not None else "any cell"
            if (run / name).exists() and not _same(run / name, run / "cells" / folder / name):
                problems.append(f"{name} is not the one of {folder}.")
    except (ExpungeError, OSError) as error:
        return Check("study", (str(error),))
    return Check("study", tuple(problems))


def _same(file: Path, of_cell: Path) -> bool:
    return of_cell.exists() and bool(read_json(of_cell) == read_json(file))
