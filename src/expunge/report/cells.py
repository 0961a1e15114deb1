"""Find and read the cells of a study folder: records, and what each model said."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from expunge.core.errors import InputError
from expunge.core.files import read_json
from expunge.report.node import Node
from expunge.report.shapes import PLACES, Cell, Model


def index(run: Path) -> dict[str, Mapping[str, Any]]:
    """World label → its cells by model, from index.json; empty where the study left none."""
    path = run / "index.json"
    if not path.is_file():
        return {}
    root = Node(path, "the top", read_json(path))
    return {str(node["label"]): node["cells"] for node in root.nodes("worlds")}


def models(run: Path, found: Mapping[str, Any]) -> Iterator[Model]:
    """Original, control and null, then the methods in the order of the index."""
    for role, label in PLACES.items():
        if found.get(role):
            yield Model(label, role, tuple(_evaluations(run, found[role])))
    for label, replicates in (found.get("methods") or {}).items():
        yield Model(label, "method", tuple(_evaluations(run, replicates)), tuple(_of_kind(run, replicates, "unlearn")))


def _evaluations(run: Path, replicates: list[Mapping[str, Any]]) -> Iterator[Cell]:
    for cell in _of_kind(run, replicates, "evaluate"):
        yield replace(cell, samples=tuple(_samples(run / "cells" / cell.folder / "samples.jsonl")))


def _of_kind(run: Path, replicates: list[Mapping[str, Any]], kind: str) -> Iterator[Cell]:
    for replicate in replicates:
        folder = run / "cells" / Path(str(replicate.get(kind))).name
        if replicate.get(kind) and (folder / "record.json").is_file():
            yield Cell(folder.name, read_json(folder / "record.json"))


def _samples(path: Path) -> Iterator[Mapping[str, Any]]:
    if not path.is_file():
        return
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="backslashreplace").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            yield json.loads(line)
        except json.JSONDecodeError as error:
            place = f"{path.parent.name}/{path.name} row {number}"
            raise InputError(f"{place} is not valid JSON ({error}); remove that cell and run again.") from None


def cells(run: Path) -> Iterator[Cell]:
    """Every cell that left a record, by folder name."""
    for path in sorted((run / "cells").glob("*/record.json")):
        yield Cell(path.parent.name, read_json(path))
