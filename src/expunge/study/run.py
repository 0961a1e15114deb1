"""Run a recipe, or say what running it would take."""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from expunge.core.files import read_json, write_json, write_text
from expunge.study.cells import Cell
from expunge.study.estimate import Plan, estimated
from expunge.study.executors.local import local
from expunge.study.plan import study_of
from expunge.study.recipe import Recipe, load
from expunge.study.scheduler import Notify, run_cells
from expunge.study.store import Store
from expunge.study.yaml import dump

RUNS = Path("runs")


@dataclass(frozen=True, slots=True)
class StudyResult:
    """What a run left: ``failed`` and ``skipped`` map folder names of cells to sentences; ``audit`` is audit.json."""

    folder: Path
    done: int
    already: int
    failed: Mapping[str, str] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)
    audit: Mapping[str, Any] | None = None

    @property
    def exit_code(self) -> int:
        """0, or 1 when some cell failed."""
        return 1 if self.failed or self.skipped else 0


def run(
    recipe: str | Path | Mapping[str, Any],
    overrides: Iterable[str] = (),
    out: str | Path | None = None,
    *,
    notify: Notify | None = None,
    plugins: Sequence[str | Path] = (),
) -> StudyResult:
    """Run every cell that is not done and audit the study; running again continues and retries failures.

    ``out`` is the study folder (default ``runs/<name>``). ``notify`` hears of every cell. ``plugins`` are files that
    the workers load. Raises :class:`InputError` for a recipe that cannot be run and for a folder that cannot be
    written; ``KeyboardInterrupt`` passes through after the workers have ended, and leaves only whole cells.
    """
    wanted = load(recipe, overrides)
    study = study_of(wanted)
    store = Store(_folder(wanted, out))
    with store.locked():
        store.clean()
        _announce(store, wanted, study.index())
        executor = local(store, wanted.workers, wanted.threads, [Path(plugin) for plugin in plugins])
        try:
            progress = run_cells(study.cells, store, executor, notify or _silent, keep_models=wanted.keep_models)
        finally:
            store.clean()
        audit = _audit(store, study.audit)
    counts = (len(progress.done), len(progress.already))
    return StudyResult(store.root, *counts, progress.failed, progress.skipped, audit)


def plan(recipe: str | Path | Mapping[str, Any], overrides: Iterable[str] = (), out: str | Path | None = None) -> Plan:
    """The cells of a recipe, which are done, and what the others will take. Writes nothing."""
    wanted = load(recipe, overrides)
    return estimated(study_of(wanted), Store(_folder(wanted, out)))


def _folder(recipe: Recipe, out: str | Path | None) -> Path:
    return Path(out) if out is not None else RUNS / recipe.name


def _announce(store: Store, recipe: Recipe, index: Mapping[str, Any]) -> None:
    """Write the resolved recipe and the index; an audit of other cells no longer counts."""
    write_text(store.root / "recipe.yaml", dump(recipe.as_dict()))
    write_json(store.root / "index.json", index)
    (store.root / "audit.json").unlink(missing_ok=True)


def _audit(store: Store, cell: Cell) -> Mapping[str, Any] | None:
    """Copy the audit beside the recipe, where it was reached."""
    if store.status(cell) != "done":
        return None
    shutil.copyfile(store.path(cell) / "audit.json", store.root / "audit.json")
    found: Mapping[str, Any] = read_json(store.root / "audit.json")
    return found


def _silent(event: str, cell: Cell, sentence: str) -> None:
    """Nobody listens."""
