"""How far a study is: every cell's state, who works on it, and how long the rest will take. Writes nothing."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from expunge.core.errors import InputError
from expunge.study.cells import Cell
from expunge.study.claims import RUN, Claim, working
from expunge.study.estimate import Planned, estimated
from expunge.study.plan import study_of
from expunge.study.recipe import load
from expunge.study.store import Snapshot, Store

State = Literal["done", "failed", "running", "missing"]
DAMAGED = "its record cannot be read; it will be computed again."
LOST = "done, but its model was removed; it will be made again if another cell needs it."


@dataclass(frozen=True, slots=True)
class CellState:
    """One cell; ``host``, ``pid`` and ``heartbeat_s`` (age of the last sign of life) are those of the run at work."""

    folder: str
    label: str
    state: State
    sentence: str = ""
    host: str | None = None
    pid: int | None = None
    heartbeat_s: float | None = None


@dataclass(frozen=True, slots=True)
class StudyStatus:
    """All cells in running order; ``eta_s`` is the guess for what is open, ``runs`` the number of runs at work."""

    folder: Path
    cells: tuple[CellState, ...]
    eta_s: float
    runs: int

    def counts(self) -> dict[str, int]:
        """Cells by state."""
        states: tuple[State, ...] = ("done", "running", "failed", "missing")
        return {state: sum(cell.state == state for cell in self.cells) for state in states}

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        cells = [asdict(cell) for cell in self.cells]
        return {
            "schema": 1,
            "folder": str(self.folder),
            **self.counts(),
            "eta_s": self.eta_s,
            "runs": self.runs,
            "cells": cells,
        }


def status(run: Path) -> StudyStatus:
    """The state of the study in ``run``; :class:`InputError` when that is no study folder."""
    study = study_of(load(recipe_of(run)))
    store, claims = Snapshot(run), working(run)
    planned = estimated(study, store)
    cells = tuple(_state(item, store, claims) for item in planned.cells)
    runs = sum(name.startswith(RUN) for name in claims)
    return StudyStatus(run, cells, round(planned.seconds(max(1, runs)), 1), runs)


def recipe_of(run: Path) -> Path:
    """The resolved recipe of a study folder; :class:`InputError` where there is none."""
    path = run / "recipe.yaml"
    if not path.is_file():
        raise InputError(f"{run} holds no recipe.yaml; give a study folder made by `expunge run`.")
    return path


def _state(item: Planned, store: Store, claims: Mapping[str, Claim]) -> CellState:
    cell, claim = item.cell, claims.get(item.cell.folder)
    if claim is not None:
        who = (claim.holder.host, claim.holder.pid, round(max(0.0, claim.age_s), 1))
        return CellState(cell.folder, cell.label, "running", "", *who)
    return CellState(cell.folder, cell.label, item.status, _sentence(cell, store))


def _sentence(cell: Cell, store: Store) -> str:
    """What must be said of a cell that nobody works on."""
    found = store.status(cell)
    if found == "failed":
        return str(store.record(cell).get("error"))
    if found == "done":
        return "" if store.has_model(cell) else LOST
    return DAMAGED if (store.path(cell) / "record.json").exists() else ""
