"""The verbs ``run``, ``plan`` and ``tune``: a study from a recipe."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from expunge.core.errors import ExpungeError
    from expunge.study.cells import Cell
    from expunge.study.estimate import Plan
    from expunge.study.tuning.choose import Row

Notify = Callable[[str, "Cell", str], None]


@dataclass(frozen=True, slots=True)
class Ran:
    """A study after a run: ``failed`` maps cells to sentences; without an audit there is no report.

    ``unmet`` is the first requirement that was not met (a :class:`ThresholdError`) or that nobody can tell (an
    :class:`InconclusiveError`); raise it where that should stop a pipeline.
    """

    folder: Path
    failed: Mapping[str, str]
    audit: Mapping[str, Any] | None
    report: Path | None
    unmet: "ExpungeError | None" = None


def run(
    recipe: str | Path | Mapping[str, Any],
    overrides: Iterable[str] = (),
    out: str | Path | None = None,
    *,
    require: Sequence[str] = (),
    notify: Notify | None = None,
    plugins: Sequence[str | Path] = (),
    retry_failed: bool = True,
    redact: bool = False,
    executor: str | None = None,
    timeout_min: int | None = None,
) -> Ran:
    """Run a recipe and build its report; a finished cell is not run again, a failed one is unless told otherwise.

    ``recipe`` is a YAML file or a mapping, ``overrides`` are ``key.sub=value`` strings, ``out`` the study folder
    (default: ``runs/<name>``). ``require`` names a verdict or bounds that every method must meet, such as
    ``forgotten`` or ``utility>=0.9`` (:mod:`expunge.audit.require`). ``notify(event, cell, sentence)`` hears of every
    cell; ``plugins`` are files that workers load too. ``redact`` keeps texts out of the results
    (:mod:`expunge.study.redact`). ``executor`` (local, ray, slurm) stands in place of the recipe's, with the options
    that ``overrides`` give it, such as ``executor.gpus=1``; ``timeout_min`` bounds its jobs where it can. Several runs
    of one recipe may share a folder. Raises :class:`InputError` for a recipe that cannot be used.
    """
    from expunge.api.reporting import report as build
    from expunge.audit.require import Requirement, unmet
    from expunge.study.run import run as run_study

    requirements = [Requirement.parse(text) for text in require]
    options = {"retry_failed": retry_failed, "redact": redact}
    changes = _placed(overrides, executor, timeout_min)
    result = run_study(recipe, changes, out, notify=notify, plugins=plugins, **options)
    report = build(result.folder) if result.audit is not None else None
    shortfall = unmet(result.audit, requirements) if result.audit is not None else None
    return Ran(result.folder, {**result.failed, **result.skipped}, result.audit, report, shortfall)


def _placed(overrides: Iterable[str], executor: str | None, timeout_min: int | None) -> tuple[str, ...]:
    """The overrides with where cells run: the executor first, so that the others can set its options."""
    place = () if executor is None else (f"executor={executor}",)
    bound = () if timeout_min is None else (f"executor.timeout_min={timeout_min}",)
    return (*place, *overrides, *bound)


def plan(
    recipe: str | Path | Mapping[str, Any],
    overrides: Iterable[str] = (),
    out: str | Path | None = None,
    *,
    calibrate: bool = False,
) -> "Plan":
    """What :func:`run` would do: cells, which are done, and an estimate of tokens, time and memory.

    ``calibrate`` first measures how fast this machine trains, scores and writes with the recipe's model.
    """
    from expunge.study.run import plan as plan_study

    return plan_study(recipe, tuple(overrides), out, calibrate=calibrate)


@dataclass(frozen=True, slots=True)
class Tuned:
    """Hyper-parameters after tuning: ``recipe`` is the file to report on, absent where some method has no trial.

    ``chosen`` is one trial a world and method, ``remarks`` are sentences about them, ``failed`` maps cells or trials
    to sentences where there is no recipe, ``report`` shows every trial. When only the plan was asked for, ``planned``
    is it and nothing else is there.
    """

    folder: Path
    recipe: Path | None = None
    chosen: "Sequence[Row]" = ()
    remarks: Sequence[str] = ()
    failed: Mapping[str, str] = field(default_factory=dict)
    report: Path | None = None
    planned: "Plan | None" = None


def tune(
    recipe: str | Path | Mapping[str, Any],
    overrides: Iterable[str] = (),
    out: str | Path | None = None,
    *,
    plan: bool = False,
    notify: Notify | None = None,
    plugins: Sequence[str | Path] = (),
) -> Tuned:
    """Give every method the same number of trials on worlds and attacks of their own; write the recipe to report on.

    The recipe's section ``tune`` says how (:class:`expunge.study.tuning.section.Tune`). ``out`` (default:
    ``runs/<name>-tuned``) gets ``tuned.yaml``, ``trials.csv``, ``trials.md`` and the study ``trials`` with its report;
    the same call again continues. With ``plan`` nothing is run. The other arguments are those of :func:`run`.
    """
    from expunge.report.write import build
    from expunge.study.tuning import run as tuning

    if plan:
        folder, planned = tuning.plan(recipe, tuple(overrides), out)
        return Tuned(folder, planned=planned)
    found = tuning.tune(recipe, tuple(overrides), out, notify=notify, plugins=plugins)
    report = build(found.trials) if found.rows else None
    return Tuned(found.folder, found.recipe, found.chosen, found.remarks, found.failed, report)
