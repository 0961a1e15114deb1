"""One table behind three files: the same numbers, whole rows, nothing that a reader's program would act on."""

import csv
import re
from pathlib import Path

import pytest

from expunge.report import build, csv_file, load, markdown, table
from expunge.report.shapes import Interval, Study
from expunge.report.text import number, ratio, visible
from report.make_study import make_study, world


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("table")
    build(make_study(folder, [world("k=7", [1, 2, 3]), world("k=1", [1]) | {"curves": []}]))
    return folder


@pytest.fixture(scope="module")
def study(run: Path) -> Study:
    return load.study(run)


def overall(text: str) -> list[list[str]]:
    """The cells of the first pipe table."""
    lines = text.split("\n\n")[1].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_markdown_opens_with_the_overall_table(run: Path) -> None:
    cells = overall((run / "report.md").read_text())
    assert cells[0] == [
        "World",
        "Method",
        "Taught (original)",
        "Unlearned (before)",
        "Relearned (worst, after)",
        "Control after",
        "Excess recovery",
        "Verdict",
        "Utility",
    ]
    assert [row[:2] for row in cells[2:]] == [
        [label, method]
        for label in ("k=7", "k=1")
        for method in ("gradient_difference", "npo", "npo+sam", "null row (never taught)")
    ]


def test_html_and_markdown_show_what_the_csv_holds(run: Path, study: Study) -> None:
    html, text = (run / "report.html").read_text(), (run / "report.md").read_text()
    rows = list(csv.DictReader((run / "report.csv").read_text().splitlines()))
    assert len(rows) == len(table.rows(study)) == 8
    for row in rows:
        for column in table.COLUMNS:
            if column.unit not in {"share", "ratio"} or not row[column.key]:
                continue
            value: Interval | float = float(row[column.key])
            if row[f"{column.key}_low"]:
                value = Interval(float(value), float(row[f"{column.key}_low"]), float(row[f"{column.key}_high"]))
            assert number(value, column.unit) in html
            assert number(value, column.unit) in text


def test_csv_keeps_full_precision(run: Path, study: Study) -> None:
    rows = list(csv.DictReader((run / "report.csv").read_text().splitlines()))
    excess = study.worlds[0].methods[0].e_star
    assert excess is not None
    assert [float(rows[0][f"excess{end}"]) for end in ("", "_low", "_high")] == [excess.value, excess.low, excess.high]


def test_one_replicate_is_said_in_the_table(run: Path) -> None:
    cells = overall((run / "report.md").read_text())
    assert [row[7].endswith(", one replicate") for row in cells[2:]] == [False] * 4 + [True] * 4


@pytest.mark.parametrize(
    "said", ["<script>alert(1)</script>", "a|b\nc", "[x](javascript:alert(1))", "![](http://e.vil)"]
)
def test_markdown_is_inert(tmp_path: Path, said: str) -> None:
    each = world(said, [1])
    each["methods"][0]["label"] = said
    text = markdown.render(load.study(make_study(tmp_path, [each], said=said, prompt=said)))
    assert not re.search(r"<[a-z/!]|\]\(|://", text)
    for block in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        assert len({line.count("|") for line in block.splitlines()}) == 1


@pytest.mark.parametrize("label", ["=1+1", "+x", "-x", "@x", "\tx"])
def test_csv_text_is_no_formula(tmp_path: Path, label: str) -> None:
    each = world("w", [1])
    each["methods"][0]["label"] = label
    rows = list(csv.DictReader(csv_file.render(load.study(make_study(tmp_path, [each]))).splitlines()))
    assert rows[0]["method"] == f"'{label}"
    assert float(rows[0]["excess_before_low"]) < 0


def test_numbers_read_as_a_person_writes_them() -> None:
    assert number(Interval(0.523, 0.41, 0.63), "share") == "52\u202f% [41,\u00a063]"
    assert ratio(-0.001) == "0.00" and ratio(-0.3) == "\u22120.30"
    assert number(None, "share") == number(float("nan"), "ratio") == "–"


def test_characters_that_hide_or_reorder_are_written_out() -> None:
    assert visible("a\u202eb\x00\ud800\u200b\n\tc") == "a\\u202eb\\x00\\ud800\\u200b\n\tc"
    assert visible("日本 👩‍🔬 é") == "日本 👩‍🔬 é"
