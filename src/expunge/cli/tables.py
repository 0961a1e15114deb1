"""What the commands print: tables on standard output. Nothing is computed here."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from expunge.api.attacking import Attacked
    from expunge.api.evaluating import Evaluated
    from expunge.api.studying import Tuned
    from expunge.study.estimate import Plan
    from expunge.study.status import CellState, StudyStatus
    from expunge.study.verify import Verified

VERDICT_STYLES = {
    "forgotten": "bold green",
    "suppressed": "bold yellow",
    "retained": "bold red",
    "inconclusive": "bold",
}
NOT_MEASURED = "-"


def interval(value: Mapping[str, float] | None) -> str:
    """``0.31 [0.12, 0.50]``, or a dash for what was not measured."""
    if value is None or value.get("value") is None:
        return NOT_MEASURED
    middle = f"{value['value']:.2f}"
    if value.get("low") is None or value.get("high") is None:
        return middle
    return f"{middle} [{value['low']:.2f}, {value['high']:.2f}]"


def verdicts(audit: Mapping[str, Any]) -> None:
    """One table a world: every method beside the original and the control, then why a verdict is what it is."""
    for world in audit["worlds"]:
        table = _table(
            f"{world['label']}: does it come back?",
            "model", "before attack", "after worst attack", "excess recovery", "utility", "verdict",
        )  # fmt: skip
        table.add_row("original", interval(world["original"]), NOT_MEASURED, NOT_MEASURED, NOT_MEASURED, "")
        control = world["control"]
        table.add_row(
            "control", interval(control["before"]), interval(control["after"]), NOT_MEASURED, NOT_MEASURED, ""
        )
        for method in world["methods"]:
            table.add_row(*_method_cells(method))
        _print(table)
        for sentence in _remarks(world):
            _print(escape(f"  {sentence}"))


def attacks(audit: Mapping[str, Any]) -> None:
    """One table a world: what each attack alone brought back, the strongest first."""
    for world in audit["worlds"]:
        table = _table(
            f"{world['label']}: which attack wins?", "model", "attack", "recovered", "control", "excess recovery"
        )
        for method in world["methods"]:
            for row in method["attacks"]:
                numbers = (interval(row["after"]), interval(row.get("control")), interval(row["e_star"]))
                table.add_row(escape(method["label"]), escape(row["attack"]), *numbers)
        _print(table)


def _method_cells(method: Mapping[str, Any]) -> list[str]:
    style = VERDICT_STYLES.get(method["verdict"], "")
    verdict = f"[{style}]{method['verdict']}[/] ({method['usability']})"
    utility = f"{method['utility_before']:.2f}" if method["utility_before"] is not None else NOT_MEASURED
    after = (interval(method["before"]), interval(method["after"]), interval(method["e_star"]))
    return [escape(method["label"]), *after, utility, verdict]


def _remarks(world: Mapping[str, Any]) -> Iterable[str]:
    """Sentences below the table: each reason once with its methods, a null row that failed, and the size."""
    from expunge.audit.verdict import LEAST_SUBJECTS

    holders: dict[str, list[str]] = {}
    for method in world["methods"]:
        for reason in method["reasons"]:
            holders.setdefault(reason, []).append(method["label"])
    for reason, labels in holders.items():
        yield f"{', '.join(labels)}: {reason}."
    null = world["null"]
    if null and null.get("valid") is False:
        yield f"null row: {null['reason']}."
    yield f"{len(world['seeds'])} replicate(s); {world['num_v_subjects']} subjects that the attacker never saw."
    if world["num_v_subjects"] < LEAST_SUBJECTS:
        yield f"This is too small for the verdict 'forgotten', which takes at least {LEAST_SUBJECTS} subjects."


def cells(planned: "Plan") -> None:
    """The cells of a plan, and the sums below."""
    table = _table(None, "cell", "what", "state", "tokens", "minutes", "memory (GiB)")
    for cell in planned.cells:
        table.add_row(*(escape(text) for text in cell.columns()))
    _print(table)
    sums = _table("what is left, by stage", "stage", "cells", "tokens", "hours", "GPU-hours")
    for stage in planned.stages():
        sums.add_row(*stage.columns())
    if planned.open:
        _print(sums)
    _print(escape(planned.summary()))


def states(found: "StudyStatus") -> None:
    """The cells with their states, then the sums and the time left."""
    table = _table(None, "cell", "what", "state", "remark")
    for cell in found.cells:
        table.add_row(*(escape(text) for text in (cell.folder, cell.label, cell.state, _remark(cell))))
    _print(table)
    counts = ", ".join(f"{number} {state}" for state, number in found.counts().items())
    _print(escape(f"{counts}; {found.runs} run(s) at work; about {found.eta_s / 60:.0f} minutes left."))


def _remark(cell: "CellState") -> str:
    """Who works on a cell, or what must be said of it."""
    if cell.heartbeat_s is None:
        return cell.sentence
    return f"process {cell.pid} on {cell.host}, last heartbeat {cell.heartbeat_s:.0f} s ago"


def checks(found: "Verified") -> None:
    """What was found of every cell."""
    table = _table(None, "cell", "found", "rows scored again", "remark")
    for check in found.checks:
        state = "differs" if check.problems else "as recorded"
        table.add_row(check.cell, state, str(check.rows or NOT_MEASURED), escape(" ".join(check.notes)))
    _print(table)


def trials(done: "Tuned") -> None:
    """The chosen trial of every method, then what must be known of the choice."""
    table = _table("chosen", "world", "method", "trial", "hyper-parameters", "utility", "worst recovery", "excess")
    for row in done.chosen:
        values = ", ".join(f"{key} {value:g}" for key, value in row.trial.values.items() if value is not None)
        numbers = (
            NOT_MEASURED if value is None else f"{value:.2f}" for value in (row.utility, row.recovery, row.excess)
        )
        table.add_row(escape(row.world), escape(row.method), str(row.trial.number), escape(values), *numbers)
    _print(table)
    for sentence in done.remarks:
        _print(escape(f"  {sentence}"))


def metrics(done: "Evaluated") -> None:
    """Every metric with its interval and what a never-trained model gives."""
    table = _table("measured", "metric", "value", "n", "remark")
    for name, reading in done.metrics.items():
        table.add_row(name, interval(reading), str(reading.get("n", "")), escape(str(reading.get("reason") or "")))
    _print(table)


def recovery(done: "Attacked") -> None:
    """Every attack point, then the sentence that sums up."""
    table = _table("what comes back", "attack point", "T recall", "V recall", "utility", "usable")
    for point in done.points:
        taught = "–" if point.t_recall is None else f"{point.t_recall:.2f}"
        numbers = (taught, f"{point.v_recall:.2f}", f"{point.utility:.2f}")
        table.add_row(escape(point.id), *numbers, "yes" if point.usable else "no")
    _print(table)
    for sentence in done.sentences:
        _print(escape(sentence))


def answers(question: str, given: Mapping[str, str]) -> None:
    """The answers of the models, side by side below the question."""
    table = _table(escape(question), *(escape(name) for name in given))
    table.add_row(*(escape(answer) for answer in given.values()))
    _print(table)


def _table(title: str | None, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _print(thing: Table | str) -> None:
    """Print to whatever standard output is now; a pipe gets 120 columns."""
    console = Console()
    Console(width=console.width if console.is_terminal else 120, soft_wrap=isinstance(thing, str)).print(thing)
