"""How to get the same numbers again: command, versions, seeds and hashes, read from the cells' records."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from expunge.report.costs import Grid
from expunge.report.shapes import Cell, Study
from expunge.report.text import NOTHING

COMMANDS = ("expunge run recipe.yaml -o again", "expunge report again")
CELL_HEADS = ("Cell", "Of", "State", "Time (s)", "Peak memory (MB)", "Tokens")


@dataclass(frozen=True, slots=True)
class Reproduction:
    """``facts`` are (name, value) pairs; ``cells`` lists every cell with what it took; ``failed`` says which failed."""

    commands: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    cells: Grid
    failed: tuple[str, ...]


def reproduction(study: Study) -> Reproduction:
    """Collect from the whole study; distinct values of different cells are listed side by side."""
    return Reproduction(
        COMMANDS,
        (*_seeds(study), *_hashes(study), *_from_records(study)),
        Grid(CELL_HEADS, tuple(map(_cell_row, study.cells))),
        tuple(
            f"{cell.folder} failed: {cell.record.get('error') or 'no reason recorded'}"
            for cell in study.cells
            if cell.record.get("status") == "failed"
        ),
    )


def _seeds(study: Study) -> Iterator[tuple[str, str]]:
    for world in study.worlds:
        yield f"Seeds, {world.label}", ", ".join(map(str, world.seeds))


def _hashes(study: Study) -> Iterator[tuple[str, str]]:
    yield "recipe.yaml, SHA-256", study.recipe_sha256
    yield "audit.json, SHA-256", study.audit_sha256


def _from_records(study: Study) -> Iterator[tuple[str, str]]:
    """Versions, commit, and hashes of models and data, each distinct value once."""
    found: dict[str, dict[str, None]] = {}
    for cell in study.cells:
        for name, value in _details(cell):
            found.setdefault(name, {})[value] = None
    for name in sorted(found):
        yield name, ", ".join(found[name])


def _details(cell: Cell) -> Iterator[tuple[str, str]]:
    for name, value in _mapping(cell.record.get("versions")).items():
        yield f"Version, {name}", str(value)
    if cell.record.get("git_commit"):
        yield "Commit", str(cell.record["git_commit"])
    for name, value in _mapping(cell.record.get("hashes")).items():
        yield f"Hash, {cell.kind}, {name}", str(value)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _cell_row(cell: Cell) -> tuple[str, ...]:
    record = cell.record
    return (
        cell.folder,
        str(record.get("label") or NOTHING),
        str(record.get("status", NOTHING)),
        _rounded(record.get("wall_s"), 1),
        _rounded(record.get("peak_memory_mb"), 0),
        _rounded(record.get("tokens"), 0),
    )


def _rounded(value: Any, digits: int) -> str:
    return f"{value:.{digits}f}" if isinstance(value, (int, float)) else NOTHING
