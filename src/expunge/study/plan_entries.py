"""The models of a replicate and what is done with each; how the audit and ``index.json`` name their cells."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from expunge.knowledge.facts import Knowledge
from expunge.study.cells import Cell


@dataclass(frozen=True, slots=True)
class Entry:
    """One model of one replicate and what is done with it. ``made`` is ``None`` for a model that nothing taught.

    ``certify`` checks the truth about the model where the audit itself is examined; the audit never reads it.
    """

    role: str
    label: str
    made: Cell | None
    evaluate: Cell | None
    attacks: tuple[Cell, ...] = ()
    placebo: tuple[Cell, ...] = ()
    certify: Cell | None = None


@dataclass(frozen=True, slots=True)
class Replicate:
    """One world drawn from one seed."""

    seed: int
    knowledge: Cell
    facts: Knowledge
    entries: tuple[Entry, ...]


def measures(entry: Entry) -> Iterator[tuple[str, Cell]]:
    """The cells that the audit reads of one model."""
    if entry.evaluate is not None:
        yield "evaluate", entry.evaluate
    for name, cells in {"attack": entry.attacks, "placebo": entry.placebo}.items():
        for number, cell in enumerate(cells):
            yield f"{name}{number}", cell


def indexed(replicates: tuple[Replicate, ...]) -> dict[str, Any]:
    """Folder names by model, one entry a replicate."""
    found: dict[str, Any] = {"original": [], "control": [], "null": [], "methods": {}}
    for replicate in replicates:
        for entry in replicate.entries:
            place = found["methods"].setdefault(entry.label, []) if entry.role == "method" else found[entry.role]
            place.append(_folders(entry))
    return found


def _folders(entry: Entry) -> Mapping[str, Any]:
    """One model's folder names by kind."""
    made = {entry.made.kind: entry.made.folder} if entry.made is not None else {}
    return {
        **made,
        "evaluate": None if entry.evaluate is None else entry.evaluate.folder,
        "attack": [cell.folder for cell in entry.attacks],
        "placebo": [cell.folder for cell in entry.placebo],
    }
