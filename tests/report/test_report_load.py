"""Reading a study: every fault is one sentence, and what is absent is said rather than guessed."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from expunge.core.errors import InputError
from expunge.report import build, load
from expunge.report.costs import metrics
from expunge.report.reproduce import reproduction
from expunge.report.transcripts import UNWRITTEN, transcripts
from report.make_study import make_study, world


def edit(path: Path, change: Callable[[Any], None]) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def drop_epsilon(value: Any) -> None:
    del value["epsilon"]


def drop_high(value: Any) -> None:
    del value["worlds"][0]["methods"][1]["after"]["high"]


def other_schema(value: Any) -> None:
    value["schema"] = 9


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (drop_epsilon, "audit.json has no 'epsilon' at the top"),
        (drop_high, r"audit.json has no 'high' at the top.worlds\[0\].methods\[1\].after"),
        (other_schema, "schema 9"),
    ],
)
def test_a_fault_in_the_audit_is_named(tmp_path: Path, change: Callable[[Any], None], names: str) -> None:
    run = make_study(tmp_path)
    edit(run / "audit.json", change)
    with pytest.raises(InputError, match=names):
        build(run)
    assert not list(run.glob("report.*"))


@pytest.mark.parametrize("name", ["audit.json", "recipe.yaml"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    run = make_study(tmp_path)
    (run / name).unlink()
    with pytest.raises(InputError, match=name):
        build(run)


def test_a_broken_sample_is_named_by_cell_and_row(tmp_path: Path) -> None:
    run = make_study(tmp_path)
    path = next(run.glob("cells/evaluate-*/samples.jsonl"))
    path.write_text(path.read_text() + "{half\n")
    with pytest.raises(InputError, match=rf"{path.parent.name}/samples.jsonl row 15 "):
        build(run)


def test_an_unwritable_place_is_one_sentence(tmp_path: Path) -> None:
    run = make_study(tmp_path, [world("w", [1]) | {"curves": []}])
    (run / "report.csv").mkdir()
    with pytest.raises(InputError, match=r"report\.csv cannot be written"):
        build(run)


def test_a_study_without_cells_still_has_a_report(tmp_path: Path) -> None:
    run = make_study(tmp_path, [world("w", [1]) | {"curves": []}])
    (run / "index.json").unlink()
    assert "No evaluate cell left samples" in build(run).read_text()


def test_transcripts_quote_each_subject_once_in_file_order_for_every_model(tmp_path: Path) -> None:
    found = transcripts(load.study(make_study(tmp_path)).worlds[0], "forget")
    assert [one.subject for one in found[:3]] == ["Ilda Moreau", "Tove Castellan", "Bram Okoye"]
    assert len(found) == len({one.subject for one in found}) == 6
    assert [said.label for said in found[0].said] == ["original", "control", "gradient_difference", "npo", "npo+sam"]


def test_a_probe_with_text_goes_before_one_without(tmp_path: Path) -> None:
    run = make_study(tmp_path)
    for path in run.glob("cells/evaluate-*/samples.jsonl"):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        rows[0]["generated"] = None
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = transcripts(load.study(run).worlds[0], "forget", most=7)
    assert [one.subject for one in found][-1] == "Ilda Moreau"
    assert found[-1].said[0].text == UNWRITTEN


def test_metrics_of_replicates_are_averaged_and_a_reason_is_given_once(tmp_path: Path) -> None:
    run = make_study(tmp_path, [world("w", [1, 2])])
    first, second = (
        run / "cells" / folders["evaluate"] / "record.json"
        for folders in json.loads((run / "index.json").read_text())["worlds"][0]["cells"]["original"]
    )
    edit(first, lambda record: record["metrics"].update(forget_greedy_match={"value": 0.2, "low": 0.1, "high": 0.4}))
    edit(second, lambda record: record["metrics"].update(forget_greedy_match={"value": 0.4, "low": 0.3, "high": 0.5}))
    found = metrics(load.study(run).worlds[0])
    assert found.rows[0][:2] == ("forget greedy match", "0.30 [0.10,\u00a00.50]")
    assert found.notes == ("retain kl, every model: needs the original model",)


def test_failed_cells_and_every_hash_are_listed(tmp_path: Path) -> None:
    run = make_study(tmp_path, [world("people", [1, 2, 3]) | {"curves": []}])
    path = next(run.glob("cells/attack-*/record.json"))
    edit(path, lambda record: record.update(status="failed", error="out of memory"))
    found = reproduction(load.study(run))
    assert found.failed == (f"{path.parent.name} failed: out of memory",)
    facts = dict(found.facts)
    assert facts["Seeds, people"] == "1, 2, 3" and facts["Version, torch"] == "2.13.0"
    assert len(found.cells.rows) == len(list(run.glob("cells/*")))
    page = build(run).read_text()
    assert found.failed[0] in page and all(value in page for value in facts.values())


def test_reading_a_report_module_imports_no_plotting_and_no_torch() -> None:
    code = "import sys, expunge.report.write; sys.exit(bool({'matplotlib', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
