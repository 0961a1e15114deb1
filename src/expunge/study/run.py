"""Run a recipe, or say what running it would take."""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from expunge.core.errors import InputError
from expunge.core.files import read_json, write_json, write_text
from expunge.study import redact as redaction
from expunge.study.cells import Cell
from expunge.study.claims import Claims
from expunge.study.estimate import Plan, estimated
from expunge.study.executors.base import Place
from expunge.study.executors.choice import Choice
from expunge.study.plan import study_of
from expunge.study.rates import Rates
from expunge.study.recipe import Recipe, load
from expunge.study.scheduler import Notify, run_cells
from expunge.study.store import Snapshot, Store
from expunge.study.yaml import dump

RUNS = Path("runs")
EXAMINED = "examine.json"
"""How the audit itself was examined, where the recipe asks for it."""


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
    retry_failed: bool = True,
    redact: bool = False,
) -> StudyResult:
    """Run every cell that is not done and audit the study; running again continues and retries failures.

    ``out`` is the study folder (default ``runs/<name>``). ``notify`` hears of every cell. ``plugins`` are files that
    the workers load; where cells run is the recipe's ``executor``. Without ``retry_failed`` failed cells stay failed.
    ``redact`` keeps texts out of the results (:mod:`expunge.study.redact`). Several runs of one recipe may share a
    folder. Raises :class:`InputError` for a recipe that cannot be run, for a folder that cannot be written and for an
    executor that is not installed; ``KeyboardInterrupt`` passes through after the workers have ended, and leaves only
    whole cells.
    """
    wanted = load(recipe, overrides)
    backend = (wanted.executor or Choice()).build()
    backend.check()
    study = study_of(wanted)
    store = Store(_folder(wanted, out))
    with Claims(store.root).joined() as claims:
        _refuse_another(store, study.index(), claims)
        store.clean(claims.others())
        if redact:
            redaction.begin(store.root)
        _announce(store, wanted, study.index())
        files = tuple(Path(plugin) for plugin in plugins)
        executor = backend.open(Place(store, wanted.workers, wanted.threads, files, claims.beacon))
        options = {"keep_models": wanted.keep_models, "retry_failed": retry_failed}
        try:
            progress = run_cells(
                study.cells, store, executor, notify or _silent, claims=claims, processes=wanted.processes, **options
            )
        finally:
            store.clean(claims.others())
        audit = _beside(store, study.audit, "audit.json")
        if study.examine is not None:
            _beside(store, study.examine, EXAMINED)
        if audit is not None:
            redaction.complete(store.root)
    counts = (len(progress.done), len(progress.already))
    return StudyResult(store.root, *counts, progress.failed, progress.skipped, audit)


def plan(
    recipe: str | Path | Mapping[str, Any],
    overrides: Iterable[str] = (),
    out: str | Path | None = None,
    *,
    calibrate: bool = False,
) -> Plan:
    """The cells of a recipe, which are done, and what the others will take. Writes nothing.

    ``calibrate`` measures this machine's speed first (:mod:`expunge.study.calibrate`).
    """
    wanted = load(recipe, overrides)
    rates = _measured(wanted) if calibrate else None
    return estimated(study_of(wanted), Snapshot(_folder(wanted, out)), rates)


def _measured(recipe: Recipe) -> Rates:
    """This machine's speed; what measures it trains and generates, which no other plan needs to load."""
    from expunge.study.calibrate import calibrated

    return calibrated(recipe)


def _folder(recipe: Recipe, out: str | Path | None) -> Path:
    return Path(out) if out is not None else RUNS / recipe.name


def _refuse_another(store: Store, index: Mapping[str, Any], claims: Claims) -> None:
    """Runs that share a folder must be of one recipe."""
    path = store.root / "index.json"
    if claims.others() and path.is_file() and read_json(path) != index:
        raise InputError(f"{store.root} is in use by another run of another recipe; wait, or choose another folder.")


def _announce(store: Store, recipe: Recipe, index: Mapping[str, Any]) -> None:
    """Write the resolved recipe and the index; an audit of other cells no longer counts, nor how it was examined."""
    write_text(store.root / "recipe.yaml", dump(recipe.as_dict()))
    write_json(store.root / "index.json", index)
    for name in ("audit.json", EXAMINED):
        (store.root / name).unlink(missing_ok=True)


def _beside(store: Store, cell: Cell, name: str) -> Mapping[str, Any] | None:
    """Copy what a last cell wrote beside the recipe, where it was reached."""
    if store.status(cell) != "done":
        return None
    shutil.copyfile(store.path(cell) / name, store.root / name)
    found: Mapping[str, Any] = read_json(store.root / name)
    return found


def _silent(event: str, cell: Cell, sentence: str) -> None:
    """Nobody listens."""
