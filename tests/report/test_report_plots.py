"""The figures: axes with units, described in words, drawn as text, marked at the chosen points."""

import re
from pathlib import Path

import pytest

from expunge.report import cost_plot, load, plots
from expunge.report.shapes import World
from report.make_study import make_study, world


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> World:
    return load.study(make_study(tmp_path_factory.mktemp("plots"), [world("people", [1])])).worlds[0]


@pytest.fixture(scope="module")
def panels(found: World) -> list[plots.Panel]:
    return plots.recovery(found, "w0")


def test_every_method_and_the_null_row_has_a_panel(panels: list[plots.Panel]) -> None:
    assert [(panel.label, panel.colour) for panel in panels] == [
        ("gradient_difference", 0),
        ("npo", 1),
        ("npo+sam", 2),
        ("second seed", None),
    ]


def test_axes_carry_names_units_and_the_step_budgets_as_text(panels: list[plots.Panel]) -> None:
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", panels[0].drawing)
    assert {"Attack steps", "Share of V answered (%)", "0", "1", "2", "4", "8", "16", "100"} <= set(texts)


def test_colours_come_from_the_page(panels: list[plots.Panel]) -> None:
    drawing = panels[0].drawing
    assert re.findall(r"#[0-9a-f]{6}\b(?![^<]*id=)", re.sub(r'(?:href="|url\()#[^")]*', "", drawing)) == []
    assert "var(--method-0)" in drawing and "var(--control)" in drawing and "currentColor" in drawing
    assert "var(--method-1)" not in drawing


def test_the_description_holds_every_reading(found: World, panels: list[plots.Panel]) -> None:
    title = re.search(r"<title[^>]*>([^<]*)</title>", panels[1].drawing)
    assert title is not None
    for curve in found.curves:
        if curve.label in {"npo", "control"}:
            for step, end in zip(curve.steps, curve.share, strict=True):
                assert f"{100 * end.value:.0f}\u202f% after {step}" in title.group(1)


def marks(panel: plots.Panel) -> int:
    """Hollow marks: shapes filled with the page's own colour."""
    return len(re.findall(r"<use[^>]*fill: var\(--page\)", panel.drawing))


def test_the_chosen_worst_points_are_marked(found: World, panels: list[plots.Panel]) -> None:
    # one for the method, one for the control; the null row has no choice of its own on record
    assert [marks(panel) for panel in panels] == [2, 2, 2, 1]


def test_a_point_is_named_as_the_attack_names_it(found: World) -> None:
    assert found.curves[0].point_ids()[:2] == ("before", "qa/full/1e-05/1")


def test_each_doubling_is_one_step_to_the_right_of_zero() -> None:
    places = [plots.place(step) for step in (0, 1, 2, 4, 8, 16)]
    assert places == [0, 1, 2, 3, 4, 5]


def test_a_label_is_never_typeset_as_mathematics(found: World) -> None:
    for panel in plots.recovery(found, "w0"):
        assert panel.label not in re.sub(r"<title.*?</title>", "", panel.drawing)


def test_cost_is_described_with_both_ends_of_every_arrow(found: World) -> None:
    drawing = cost_plot.tradeoff(found, "w0")
    assert "npo: from utility 0.96 and 3 % answered before the attack to utility 0.93 and 55 % after it." in drawing
    assert "Utility (original = 1)" in drawing


def test_methods_without_utility_are_left_out_of_the_cost_figure(tmp_path: Path) -> None:
    each = world("w", [1])
    each["methods"][0]["utility_before"] = None
    drawing = cost_plot.tradeoff(load.study(make_study(tmp_path, [each])).worlds[0], "w0")
    assert "var(--method-0)" not in drawing and "var(--method-1)" in drawing
