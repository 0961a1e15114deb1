"""Verdicts by group and by request in the report: tables where there is something to show, one picture a sequence."""

import re
from pathlib import Path
from typing import Any

import pytest

from expunge.report import build, load, sequence
from expunge.report.shapes import Study
from report.make_study import BASE, iv, make_study, world

HOSTILE = "<script>alert(1)</script>|*x*"
OF = 3


def group(name: dict[str, Any], value: float | None, verdict: str) -> dict[str, Any]:
    """One entry of ``groups``; without a value, as a group that was too small."""
    readings = {key: None if value is None else iv(value) for key in ("before", "after", "e0", "e_star")}
    return {**name, "num_v_subjects": 20, "verdict": verdict, "reasons": ["too few."], **readings, "worst_points": []}


def attributes() -> dict[str, Any]:
    """A world whose first method is judged by attribute; the others are not."""
    each = world("people", [1, 2]) | {"curves": []}
    names = [{"attribute": "pet"}, {"attribute": HOSTILE}]
    each["methods"][0]["groups"] = [group(names[0], 0.31, "suppressed"), group(names[1], None, "inconclusive")]
    return each


def requests() -> list[dict[str, Any]]:
    """A world after each of three requests; excess recovery and utility are functions of request and method."""
    worlds = []
    for done in range(1, OF + 1):
        each = world(f"people after {done} of {OF}", [1, 2]) | {"curves": []}
        own = {f"{name} after {done} of {OF}": name for name in BASE}
        for index, method in enumerate(each["methods"]):
            numbers = {"e_star": iv(excess(index, done)), "utility_before": utility(index, done)}
            method |= numbers | {"label": list(own)[index]}
            method["groups"] = [group({"request": n}, 0.2, "suppressed") for n in range(1, done + 1)]
        each["sequence"] = {"world": "people", "done": done, "of": OF, "methods": own}
        worlds.append(each)
    return worlds


def excess(index: int, done: int) -> float:
    return round(0.11 * (index + 1) + 0.13 * done, 2)


def utility(index: int, done: int) -> float:
    return round(0.99 - 0.07 * index - 0.05 * done, 2)


@pytest.fixture(scope="module")
def grouped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_study(tmp_path_factory.mktemp("groups") / "run", [attributes()])


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_study(tmp_path_factory.mktemp("chain") / "run", requests())


def test_a_table_for_the_method_that_has_groups_and_for_no_other(grouped: Path) -> None:
    page, text = build(grouped).read_text(), (grouped / "report.md").read_text()
    assert re.findall(r"<caption>Verdict by group of facts[^<]*, ([^<]*)</caption>", page) == ["gradient_difference"]
    assert re.findall(r"^Verdict by group of facts.*\*\*(.*)\*\*:$", text, re.MULTILINE) == ["gradient_difference"]
    (row,) = [line for line in text.splitlines() if line.startswith("| pet |")]
    assert row.startswith("| pet | 20 |") and "0.31 [0.23,\u00a00.39]" in row
    assert "suppressed | too few |" in row


def test_a_study_without_groups_shows_none_of_it(tmp_path: Path) -> None:
    run = make_study(tmp_path / "run", [world("people", [1, 2]) | {"curves": []}])
    for text in (build(run).read_text(), (run / "report.md").read_text()):
        assert "Verdict by group" not in text and "Request after request" not in text


def test_names_of_groups_are_text(grouped: Path) -> None:
    assert "<script" not in build(grouped).read_text()
    text = (grouped / "report.md").read_text()
    assert "<script" not in text and "|*x*" not in text


def found(run: Path) -> tuple[Study, sequence.Requests]:
    study = load.study(run)
    (one,) = sequence.sequences(study)
    return study, one


def test_every_request_and_method_is_in_the_table(chain: Path) -> None:
    _, one = found(chain)
    assert one.table().heads == ("Method", *(f"After {n} of {OF}" for n in (1, 2, 3)))
    assert [row[0] for row in one.table().rows] == list(BASE)
    for index, row in enumerate(one.table().rows):
        for done, cell in enumerate(row[1:], 1):
            assert f"E {excess(index, done):.2f} [" in cell and f"utility {utility(index, done):.2f};" in cell
            assert cell.endswith(BASE[row[0]][2])


def points(drawing: str) -> int:
    """Marks of the lines: one a request, method and measure."""
    return len(re.findall(r"<use[^>]*fill: var\(--(?:method-\d|page)\)(?!; fill-opacity)", drawing))


def test_the_picture_has_axes_a_description_and_a_mark_a_number(chain: Path) -> None:
    _, one = found(chain)
    drawing = str(sequence.drawing(one, "s0"))
    texts = set(re.findall(r"<text[^>]*>([^<]*)</text>", drawing))
    assert {"Requests unlearned", "Ratio (original = 1)", "1", "2", "3"} <= texts
    assert points(drawing) == 2 * len(BASE) * OF
    alt = re.search(r"<title[^>]*>([^<]*)</title>", drawing)
    assert alt is not None
    for index, name in enumerate(BASE):
        said = [f"excess recovery {excess(index, n):.2f} and utility {utility(index, n):.2f} after {n}" for n in (1, 2)]
        assert f"{name}: {', '.join(said)}, " in alt.group(1)


def test_a_missing_number_leaves_a_gap_and_a_dash(tmp_path: Path) -> None:
    worlds = requests()
    worlds[1]["methods"][0] |= {"e_star": None, "utility_before": None}
    _, one = found(make_study(tmp_path / "run", worlds))
    assert one.table().rows[0][2].startswith("E –; utility –;")
    assert points(str(sequence.drawing(one, "s0"))) == 2 * len(BASE) * OF - 2


def test_the_page_says_it_before_the_worlds(chain: Path) -> None:
    page, text = build(chain).read_text(), (chain / "report.md").read_text()
    assert page.index("Request after request") < page.index('class="part"')
    assert text.index("## Request after request: people") < text.index("## people after 1 of 3")
    assert page.count("<caption>Verdict by group") == len(BASE) * OF and text.count("| request 3 |") == len(BASE)
