"""Several studies in one table: as text, CSV or LaTeX, all from the rows of :mod:`expunge.report.table`."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from expunge.report import table
from expunge.report.csv_file import inert
from expunge.report.discrimination import weakness
from expunge.report.markdown import grid, plain
from expunge.report.shapes import Study
from expunge.report.spent import beyond
from expunge.report.table import Column
from expunge.report.text import visible

STUDY = Column("study", "Study", main=True)
LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
        "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\u2212": "$-$", "–": "--", "\u202f": r"\,",
        "\u00a0": "~", "\n": " ",
    }
)  # fmt: skip

Row = Mapping[str, Any]


def rows(studies: Sequence[Study]) -> list[Row]:
    """Every row of every study with its name, in the order given."""
    return [{"study": study.name, **row} for study in studies for row in table.rows(study)]


def _columns(studies: Sequence[Study], columns: Sequence[Column]) -> tuple[Column, ...]:
    """One study needs no column that names it."""
    return (STUDY, *columns) if len(studies) > 1 else tuple(columns)


def notes(studies: Sequence[Study]) -> list[str]:
    """What forbids a claim: worlds that cannot tell methods apart, and invalid null rows."""
    found = []
    for study in studies:
        for world in study.worlds:
            name = f"{study.name}, {world.label}"
            found += [f"{name}: {reason}" for reason in (weakness(world), beyond(world)) if reason]
            found += [f"{name}: the null row failed, so this world is invalid."] if world.null.valid is False else []
    return found


def text(studies: Sequence[Study]) -> str:
    """A pipe table with the notes below it; it reads in a terminal and as Markdown."""
    columns = _columns(studies, table.MAIN)
    cells = [[_cell(row, column) for column in columns] for row in rows(studies)]
    widths = [max(map(len, column)) for column in zip([column.title for column in columns], *cells, strict=True)]
    heads = [column.title.ljust(width) for column, width in zip(columns, widths, strict=True)]
    padded = [[value.ljust(width) for value, width in zip(row, widths, strict=True)] for row in cells]
    lines = grid(heads, padded, [column.unit != "text" for column in columns])
    return "\n".join([*lines, *(f"- {plain(note)}" for note in notes(studies))]).rstrip() + "\n"


def comma_separated(studies: Sequence[Study]) -> str:
    """Every column at full precision, one row a study, world and method."""
    columns = (STUDY, *table.COLUMNS)
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([name for column in columns for name in table.csv_fields(column)])
    for row in rows(studies):
        writer.writerow([inert(value) for column in columns for value in table.csv_values(row, column)])
    return stream.getvalue()


def latex(studies: Sequence[Study]) -> str:
    """A ``tabular`` with booktabs rules; notes follow as comments."""
    columns = _columns(studies, table.MAIN)
    lines = [" & ".join(_tex(table.cell(row, column)) for column in columns) + r" \\" for row in rows(studies)]
    heads = " & ".join(_tex(column.title) for column in columns) + r" \\"
    kinds = "".join("l" if column.unit == "text" else "r" for column in columns)
    comments = [f"% {visible(note).replace(chr(10), ' ')}" for note in notes(studies)]
    frame = [rf"\begin{{tabular}}{{{kinds}}}", r"\toprule", heads, r"\midrule", *lines, r"\bottomrule"]
    return "\n".join([*frame, r"\end{tabular}", *comments]) + "\n"


def _cell(row: Row, column: Column) -> str:
    shown = table.cell(row, column)
    return plain(shown) if column.unit == "text" else shown


def _tex(shown: str) -> str:
    return visible(shown).translate(LATEX)


FORMATS: Mapping[str, Callable[[Sequence[Study]], str]] = {"text": text, "csv": comma_separated, "latex": latex}
