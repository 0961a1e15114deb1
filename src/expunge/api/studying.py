"""The verbs ``run`` and ``plan``: a study from a recipe."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from expunge.core.errors import ExpungeError
    from expunge.study.cells import Cell
    from expunge.study.estimate import Plan

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
) -> Ran:
    """Run a recipe and build its report; a finished cell is not run again, a failed one is retried.

    ``recipe`` is a YAML file or a mapping, ``overrides`` are ``key.sub=value`` strings, ``out`` the study folder
    (default: ``runs/<name>``). ``require`` names a verdict or bounds that every method must meet, such as
    ``forgotten`` or ``utility>=0.9`` (:mod:`expunge.audit.require`). ``notify(event, cell, sentence)`` hears of every
    cell; ``plugins`` are files that workers load too. Raises :class:`InputError` for a recipe that cannot be used.
    """
    from expunge.audit.require import Requirement, unmet
    from expunge.report.write import build
    from expunge.study.run import run as run_study

    requirements = [Requirement.parse(text) for text in require]
    result = run_study(recipe, tuple(overrides), out, notify=notify, plugins=plugins)
    report = build(result.folder) if result.audit is not None else None
    shortfall = unmet(result.audit, requirements) if result.audit is not None else None
    return Ran(result.folder, {**result.failed, **result.skipped}, result.audit, report, shortfall)


def plan(
    recipe: str | Path | Mapping[str, Any], overrides: Iterable[str] = (), out: str | Path | None = None
) -> "Plan":
    """What :func:`run` would do: cells, which are done, and an estimate of tokens, time and memory."""
    from expunge.study.run import plan as plan_study

    return plan_study(recipe, tuple(overrides), out)
