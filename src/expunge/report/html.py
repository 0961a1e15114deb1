"""The report as one HTML file that opens offline: no script, no link, no font or image from elsewhere.

Everything a model or a user wrote passes through Jinja's autoescape and :func:`expunge.report.text.finalize`;
a Content-Security-Policy in the page forbids scripts all the same.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from expunge.report import by_attack, by_group, cost_plot, costs, plots, sequence, svg, table, text, words
from expunge.report.reproduce import reproduction
from expunge.report.shapes import Interval, Study, World
from expunge.report.spent import over
from expunge.report.transcripts import Transcript, transcripts

BAR_LOW, BAR_HIGH = -0.25, 1.1
MOST_SHOWN_COST = 3


@dataclass(frozen=True, slots=True)
class Part:
    """A world with its figures drawn and its transcripts chosen."""

    world: World
    name: str
    panels: tuple[plots.Panel, ...]
    tradeoff: Markup
    said: tuple[Transcript, ...]
    kept: tuple[Transcript, ...]
    metrics: costs.Grid
    attacks: costs.Grid
    rows: tuple[table.Row, ...]


def render(study: Study) -> str:
    """The whole page."""
    page = environment().get_template("report.html.j2")
    parts = [_part(world, f"w{index}") for index, world in enumerate(study.worlds)]
    found = {"rows": table.rows(study), "sequences": sequence.sequences(study)}
    return page.render(study=study, parts=parts, how=reproduction(study), **found) + "\n"


def environment() -> Environment:
    """Autoescape for every file, undefined names are errors, foreign text is made visible."""
    found = Environment(
        loader=PackageLoader("expunge.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=text.finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals.update(_names())
    return found


def _names() -> dict[str, Any]:
    """What templates may call."""
    return {
        "words": words,
        "by_attack": by_attack,
        "by_group": by_group,
        "sequence": sequence,
        "table": table,
        "number": text.number,
        "level": text.level,
        "cut": text.cut,
        "plural": text.plural,
        "rates": plots.rates,
        "panels_by_attack": panels_by_attack,
        "budgets": budgets,
        "bar": bar,
        "over": over,
        "method_inks": svg.METHOD_INKS,
    }


def _part(world: World, name: str) -> Part:
    return Part(
        world=world,
        name=name,
        panels=tuple(plots.recovery(world, name)),
        tradeoff=cost_plot.tradeoff(world, name),
        said=tuple(transcripts(world, "forget")),
        kept=tuple(transcripts(world, "retain_eval", MOST_SHOWN_COST)),
        metrics=costs.metrics(world),
        attacks=by_attack.by_attack(world),
        rows=tuple(table.world_rows(world)),
    )


def panels_by_attack(part: Part) -> Iterator[tuple[str, str, list[plots.Panel]]]:
    """(source, access, panels) in the order of the study."""
    for source, access in dict.fromkeys((panel.source, panel.access) for panel in part.panels):
        yield source, access, [p for p in part.panels if (p.source, p.access) == (source, access)]


def budgets(world: World) -> list[int]:
    """Every step budget of a world in ascending order."""
    return sorted({step for curve in world.curves for step in curve.steps})


def bar(interval: Interval) -> dict[str, float]:
    """Where an excess recovery stands on a bar of width 100 that spans BAR_LOW to BAR_HIGH; ends are clipped."""
    points = {"low": interval.low, "value": interval.value, "high": interval.high, "zero": 0.0}
    return {key: round(_across(value), 1) for key, value in points.items()}


def _across(value: float) -> float:
    return 100 * (min(max(value, BAR_LOW), BAR_HIGH) - BAR_LOW) / (BAR_HIGH - BAR_LOW)
