"""The difference to the baseline, in every file of the report."""

import csv
import html
from pathlib import Path

from expunge.report import build, load
from report.make_study import make_study, world


def test_the_difference_is_in_every_file_and_absent_without_a_baseline(tmp_path: Path) -> None:
    each = world("people", [1, 2, 3])
    each["methods"][2]["beside"] = {"label": "npo", "e_star": {"value": -0.4, "low": -0.55, "high": -0.2}}
    each["methods"][0]["beside"] = {"label": "npo", "e_star": None}
    build(make_study(tmp_path, [each]))
    rows = {row["method"]: row for row in csv.DictReader((tmp_path / "report.csv").open())}
    assert (rows["npo+sam"]["beside"], rows["npo+sam"]["beside_high"]) == ("-0.4", "-0.2")
    assert rows["npo"]["beside"] == rows["gradient_difference"]["beside"] == ""
    said = "Excess recovery less that of npo: \u22120.40 [\u22120.55,\u00a0\u22120.20]."
    for name in ("report.md", "report.html"):
        assert html.unescape((tmp_path / name).read_text()).count(said) == 1
    (found,) = load.study(tmp_path).worlds
    assert [method.baseline for method in found.methods] == ["npo", None, "npo"]
