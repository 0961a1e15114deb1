"""The one table of the report. HTML, Markdown and CSV all read their numbers from :func:`rows`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from expunge.report.shapes import Interval, Method, Study, World
from expunge.report.spent import Spent, spent
from expunge.report.text import NOTHING, number
from expunge.report.words import null_line

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """A column: ``unit`` is ``share`` or ``ratio`` for numbers with or without interval, ``text`` else.

    ``main`` columns make the overall table; the rest are details.
    """

    key: str
    title: str
    unit: str = "text"
    main: bool = False


COLUMNS = (
    Column("world", "World", main=True),
    Column("method", "Method", main=True),
    Column("taught", "Taught (original)", "share", main=True),
    Column("unlearned", "Unlearned (before)", "share", main=True),
    Column("relearned", "Relearned (worst, after)", "share", main=True),
    Column("control_after", "Control after", "share", main=True),
    Column("excess", "Excess recovery", "ratio", main=True),
    Column("verdict", "Verdict", main=True),
    Column("utility", "Utility", "ratio", main=True),
    Column("beside", "Excess recovery less the baseline's", "ratio"),
    Column("excess_before", "Excess before the attack", "ratio"),
    Column("control_before", "Control before", "share"),
    Column("utility_after", "Utility after the attack", "ratio"),
    Column("t_recall", "Attacker's own half learned", "share"),
    Column("speed", "Learns new facts (control = 1)", "ratio"),
    Column("spent", "Spent of its budget (nats, least and most)", "ratio"),
    Column("worst_points", "Worst points (source/access/rate/steps)"),
    Column("usability", "Usability"),
    Column("replicates", "Replicates", "count"),
    Column("subjects", "Scored subjects (V)", "count"),
    Column("reasons", "Reasons"),
)
MAIN = tuple(column for column in COLUMNS if column.main)
DETAILS = (COLUMNS[1], *(column for column in COLUMNS[9:17]))


def rows(study: Study) -> list[Row]:
    """One row a method, then one for the null row, world by world."""
    return [row for world in study.worlds for row in world_rows(world)]


def world_rows(world: World) -> list[Row]:
    """The rows of one world. Keys are those of :data:`COLUMNS`; ``colour`` numbers the method for the figures."""
    found = spent(world)
    methods = enumerate(world.methods)
    return [*(_method(world, method, index, found.get(method.label)) for index, method in methods), *_null(world)]


def _shared(world: World) -> dict[str, Any]:
    return {
        "world": world.label,
        "taught": world.original,
        "control_before": world.control.before,
        "control_after": world.control.after,
        "replicates": len(world.seeds),
        "subjects": world.num_v_subjects,
    }


def _method(world: World, method: Method, index: int, cost: Spent | None) -> Row:
    return _shared(world) | {
        "kind": "method",
        "colour": index,
        "method": method.label,
        "unlearned": method.before,
        "relearned": method.after,
        "excess": method.e_star,
        "excess_before": method.e0,
        "beside": method.beside,
        "verdict": method.verdict,
        "usability": method.usability,
        "utility": method.utility_before,
        "utility_after": method.utility_after,
        "t_recall": method.t_recall,
        "speed": method.speed,
        "spent": cost and cost.kl,
        "over_budget": cost is not None and cost.over,
        "worst_points": ", ".join(dict.fromkeys(method.worst_points)),
        "reasons": "; ".join(reason.rstrip(".") for reason in method.reasons),
    }


def _null(world: World) -> Iterator[Row]:
    yield _shared(world) | {
        "kind": "null",
        "method": "null row (never taught)",
        "excess": world.null.e_star,
        "verdict": null_line(world),
        "reasons": world.null.reason or "",
    }


def cell(row: Row, column: Column) -> str:
    """The text of a cell, the same in HTML and Markdown; a dash where the row has no such value."""
    value = row.get(column.key)
    if column.key == "verdict":
        return _verdict(row)
    if column.unit == "count":
        return str(value)
    return number(value, column.unit) if column.unit != "text" else str(value or NOTHING)


def _verdict(row: Row) -> str:
    """Verdict and usability; what weakens a row is said in the table itself."""
    weak = {"over its budget": row.get("over_budget"), "one replicate": row["replicates"] == 1}
    notes = [str(row.get("usability") or ""), *(name for name, holds in weak.items() if holds)]
    return ", ".join([str(row["verdict"]), *filter(None, notes)])


def csv_fields(column: Column) -> list[str]:
    """A number has three fields (value and the ends of its interval), anything else one."""
    return [column.key, *(f"{column.key}_{end}" for end in ("low", "high") if column.unit in {"share", "ratio"})]


def csv_values(row: Row, column: Column) -> list[str]:
    """The fields of a cell at full precision, empty where there is no such number."""
    value = row.get(column.key)
    if column.unit not in {"share", "ratio"}:
        return ["" if value is None else str(value)]
    if isinstance(value, Interval):
        return [repr(value.value), repr(value.low), repr(value.high)]
    return ["" if value is None else repr(value), "", ""]
