"""Matched utility: a method that left its budget is marked wherever its row or its mark stands."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from expunge import api
from expunge.report import build, load, pareto, words
from expunge.report.shapes import Study
from expunge.report.spent import over, spent
from report.make_study import make_study

KLS: dict[str, list[float | None]] = {"npo": [0.02, 0.1, 0.06], "npo+sam": [0.05, 0.11, 0.05]}
MARK = "over its budget"


def budgeted(run: Path, kls: dict[str, list[float | None]]) -> Path:
    """A made-up study whose unlearning ended at ``kls``, a method and replicate, of a budget of 0.1 nats."""
    index = json.loads((make_study(run) / "index.json").read_text())
    for label, found in kls.items():
        for cell, kl in zip(index["worlds"][0]["cells"]["methods"][label], found, strict=True):
            path = run / "cells" / cell["unlearn"] / "record.json"
            record: dict[str, Any] = json.loads(path.read_text())
            path.write_text(json.dumps(record | {"train": {"budget": {"kl": kl, "limit": 0.1}}}))
    build(run)
    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return budgeted(tmp_path_factory.mktemp("spent"), KLS)


@pytest.fixture(scope="module")
def study(run: Path) -> Study:
    return load.study(run)


def test_one_replicate_over_is_over_and_the_limit_itself_is_not(study: Study) -> None:
    (world,) = study.worlds
    assert over(world) == ["npo+sam"]
    assert set(spent(world)) == {"npo", "npo+sam"}, "a method without a budget spends none"
    kl = spent(world)["npo"].kl
    assert (kl.value, kl.low, kl.high) == pytest.approx((0.06, 0.02, 0.1))


def test_the_row_says_so_in_every_file(run: Path) -> None:
    rows = {row["method"]: row for row in csv.DictReader((run / "report.csv").open())}
    assert (float(rows["npo+sam"]["spent_high"]), rows["gradient_difference"]["spent"]) == (0.11, "")
    for name in ("report.md", "report.html"):
        text = (run / name).read_text()
        assert "Released over their utility budget: npo+sam." in text
        assert "0.07 [0.05,\u00a00.11]" in text
    assert (run / "report.html").read_text().count(MARK) == 2, "the card and the table"
    overall = (run / "report.md").read_text().split("\n\n")[1].splitlines()
    assert [MARK in line for line in overall if "npo" in line] == [False, True]


def test_the_comparison_and_its_picture_say_so(run: Path, study: Study) -> None:
    assert "Released over their utility budget: npo+sam." in api.compare([run])
    found = {spot.name: spot.over for spot in pareto.spots([study])}
    assert found == {"gradient_difference": False, "npo": False, "npo+sam": True}
    pareto.draw([study], run / "picture.svg")
    assert "hollow" in (run / "picture.svg").read_text()


def test_a_model_that_is_not_a_number_any_more_is_over(tmp_path: Path) -> None:
    (world,) = load.study(budgeted(tmp_path, {"npo": [0.01, None, 0.01]})).worlds
    assert over(world) == ["npo"]


def test_where_all_kept_it_nothing_is_said(tmp_path: Path) -> None:
    (world,) = load.study(budgeted(tmp_path, {"npo": [0.01, 0.02, 0.03]})).worlds
    assert over(world) == [] and not any("budget" in line for line in words.cautions(world))
