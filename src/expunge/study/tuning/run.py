"""Run the trials of a recipe, choose one a method, and write the recipe to report on."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from expunge.core.errors import InputError
from expunge.core.files import write_text
from expunge.study.estimate import Plan
from expunge.study.plan import study_of
from expunge.study.plan_entries import Entry
from expunge.study.recipe import Recipe, load
from expunge.study.run import RUNS, StudyResult
from expunge.study.run import plan as plan_study
from expunge.study.run import run as run_study
from expunge.study.scheduler import Notify
from expunge.study.tuning.choose import Row, best, row_of
from expunge.study.tuning.tables import as_csv, as_markdown, remarks
from expunge.study.tuning.trials import section_of, study_of_trials, trials_of
from expunge.study.tuning.tuned import tuned_recipe

Failures = dict[tuple[str, str], str]
"""World and trial label → the sentence of what failed."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """What tuning left in ``folder``.

    ``recipe`` is the recipe to report on, ``None`` where it could not be written: ``failed`` then maps cells to
    sentences. ``rows`` are all trials, ``chosen`` one a world and method, ``remarks`` what a reader must know.
    """

    folder: Path
    recipe: Path | None
    rows: tuple[Row, ...] = ()
    chosen: tuple[Row, ...] = ()
    remarks: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)

    @property
    def trials(self) -> Path:
        """The study folder of the trials."""
        return self.folder / "trials"


def tune(
    recipe: str | Path | Mapping[str, Any],
    overrides: Iterable[str] = (),
    out: str | Path | None = None,
    *,
    notify: Notify | None = None,
    plugins: Sequence[str | Path] = (),
) -> Tuned:
    """Run every trial that is not done as an ordinary study in ``out/trials``, then choose; again continues.

    Writes ``out/trials.csv``, ``out/trials.md`` and ``out/tuned.yaml``; ``out`` is ``runs/<name>-tuned`` by default. A
    trial that failed, such as one that diverged, counts as tried and cannot be chosen. Raises :class:`InputError` for
    a recipe that cannot be tuned.
    """
    wanted = load(recipe, overrides)
    folder = _folder(wanted, out)
    result, failures = _run_trials(wanted, folder / "trials", notify, plugins)
    if result.audit is None:
        (folder / "tuned.yaml").unlink(missing_ok=True)
        return Tuned(folder, None, failed={**result.failed, **result.skipped})
    rows = _rows(wanted, result.audit, failures)
    return _write(wanted, folder, rows)


def plan(
    recipe: str | Path | Mapping[str, Any], overrides: Iterable[str] = (), out: str | Path | None = None
) -> tuple[Path, Plan]:
    """The folder, and the cells of all trials: which are done, what the others will take. Writes nothing."""
    wanted = load(recipe, overrides)
    folder = _folder(wanted, out)
    return folder, plan_study(study_of_trials(wanted).as_dict(), (), folder / "trials")


def _folder(recipe: Recipe, out: str | Path | None) -> Path:
    return Path(out) if out is not None else RUNS / f"{recipe.name}-tuned"


def _run_trials(
    recipe: Recipe, folder: Path, notify: Notify | None, plugins: Sequence[str | Path]
) -> tuple[StudyResult, Failures]:
    """The study of the trials; where some failed, once more without them, so that the others are audited."""
    result = run_study(study_of_trials(recipe).as_dict(), (), folder, notify=notify, plugins=plugins)
    if result.audit is not None:
        return result, {}
    failures = _failures(recipe, {**result.skipped, **result.failed})
    without = {
        world.label: frozenset(label for name, label in failures if name == world.label) for world in recipe.knowledge
    }
    if not failures or any(len(without[w.label]) == len(trials_of(recipe, w)) for w in recipe.knowledge):
        return result, failures
    left = study_of_trials(recipe, without).as_dict()
    return run_study(left, (), folder, notify=notify, plugins=plugins), failures


def _failures(recipe: Recipe, bad: Mapping[str, str]) -> Failures:
    """Which trials cannot be judged; the sentence is that of the first cell that failed, rather than was skipped."""
    found: Failures = {}
    for world, replicates in study_of(study_of_trials(recipe)).worlds:
        for entry in (entry for replicate in replicates for entry in replicate.entries if entry.role == "method"):
            sentences = [bad[folder] for folder in _folders(entry) if folder in bad]
            if sentences:
                found.setdefault((world.label, entry.label), sentences[0])
    return found


def _folders(entry: Entry) -> list[str]:
    """The cells of one trial in one replicate, in the order in which they run."""
    first = [cell for cell in (entry.made, entry.evaluate) if cell is not None]
    return [cell.folder for cell in (*first, *entry.attacks, *entry.placebo)]


def _rows(recipe: Recipe, audit: Mapping[str, Any], failures: Failures) -> tuple[Row, ...]:
    """Every trial of every world."""
    entries = {(world["label"], entry["label"]): entry for world in audit["worlds"] for entry in world["methods"]}
    pairs = ((world.label, trial) for world in recipe.knowledge for trial in trials_of(recipe, world))
    return tuple(
        row_of(world, trial, entries[world, trial.label])
        if (world, trial.label) in entries
        else Row(world, trial, failure=failures[world, trial.label])
        for world, trial in pairs
    )


def _write(recipe: Recipe, folder: Path, rows: tuple[Row, ...]) -> Tuned:
    """The two tables, and the recipe where every method has a trial to report."""
    floor = section_of(recipe).utility
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.world, row.method), []).append(row)
    found = [best(group, floor) for group in groups.values()]
    chosen = tuple(row for row in found if row is not None)
    said = tuple(remarks(list(groups.values()), chosen, floor))
    complete = len(chosen) == len(groups)
    try:
        write_text(folder / "trials.csv", as_csv(rows, chosen))
        write_text(folder / "trials.md", as_markdown(recipe, rows, chosen, said))
        (folder / "tuned.yaml").unlink(missing_ok=True)  # an older choice no longer counts
        if complete:
            write_text(folder / "tuned.yaml", tuned_recipe(recipe, chosen))
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror}); free or unlock the folder.") from error
    lost = {f"{row.world}, {row.trial.label}": row.failure for row in rows if row.failure and not complete}
    return Tuned(folder, folder / "tuned.yaml" if complete else None, rows, chosen, said, lost)
