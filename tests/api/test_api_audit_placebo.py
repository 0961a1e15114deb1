"""An audit without a never-trained model: subjects that never existed stand in, and tell learning from relearning."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from expunge import api
from expunge.api import suites
from expunge.api.auditing import Audited
from expunge.report import build
from expunge.study import facts_io
from expunge.study.run import run
from reference.audit_models import FULL, GRID, SMALL, make

pytestmark = pytest.mark.usefixtures("small_suite")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Models and files of facts by name; sixteen people to forget."""
    return make(tmp_path_factory.mktemp("models"), FULL[:16], FULL[16:])


def audited(models: Mapping[str, Path], candidate: str, out: Path, **more: Any) -> Audited:
    """A quick audit with the original and without a control."""
    files = (models[candidate], models["forget"], models["retain"])
    return api.audit(*files, original=models["original"], suite="quick", out=out, changes=SMALL, **more)


def world(done: Audited) -> Mapping[str, Any]:
    """The only world of the audit."""
    assert not done.failed and done.audit is not None
    (found,) = done.audit["worlds"]
    return dict(found)


@pytest.fixture(scope="module")
def hider(models: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Audited:
    return audited(models, "hider", tmp_path_factory.mktemp("audit") / "hider")


def test_what_is_hidden_is_told_from_what_the_attack_teaches(hider: Audited) -> None:
    (row,) = world(hider)["methods"]
    assert world(hider)["control"]["kind"] == "placebo"
    assert row["verdict"] == "suppressed" and row["e_star"]["low"] > 0.1


def test_the_placebo_people_are_nobody_and_their_towns_are_not_theirs(hider: Audited) -> None:
    (cell,) = hider.folder.glob("cells/knowledge-*")
    material = facts_io.read(cell)
    true = {fact.subject: fact.probes[0].answer for fact in FULL}
    placebo = material.knowledge.placebo
    assert len(placebo) == 16 and not {fact.subject for fact in placebo} & true.keys()
    for fact in placebo:
        alike = [town for name, town in true.items() if set(name.split()) & set(fact.subject.split())]
        assert fact.probes[0].answer in true.values() and fact.probes[0].answer not in alike


def test_an_innocent_lacks_nothing_but_size_and_a_known_hider(
    models: Mapping[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight people in V and a suite without a hider are all that stands against `forgotten`, once T is learnt."""
    longer = {"relearn": {**GRID["relearn"], "steps": [48]}}
    monkeypatch.setitem(suites.SUITES, "quick", longer)
    (row,) = world(audited(models, "never", tmp_path / "a"))["methods"]
    assert row["e_star"]["value"] <= 0.1 and row["speed"] >= 0.5
    power = ("may be as high as", "V subjects; at least 40", "no known hider", "one replicate", "edge of the grid")
    assert row["verdict"] == "inconclusive"
    assert all(any(part in reason for part in power) for reason in row["reasons"]), row["reasons"]


def test_none_are_drawn_where_none_are_asked_for(models: Mapping[str, Path], tmp_path: Path) -> None:
    """Then nobody knows how fast the model learns."""
    found = world(audited(models, "never", tmp_path / "a", placebo=0))
    (row,) = found["methods"]
    assert any("placebo learning was not measured" in reason for reason in row["reasons"])
    assert any("the world has no placebo facts" in line for line in found["not_tested"])


def test_a_second_control_is_enough_for_the_speed(models: Mapping[str, Path], tmp_path: Path) -> None:
    done = audited(models, "never", tmp_path / "a", control=[models["control"], models["never"]])
    (row,) = world(done)["methods"]
    assert world(done)["control"]["kind"] == "never-trained" and row["speed"] is not None
    assert not any("placebo learning" in reason for reason in row["reasons"])


def test_several_candidates_stand_in_one_table_beside_their_control(models: Mapping[str, Path], tmp_path: Path) -> None:
    """Rounding to 8 bits costs the one that was not unlearned nothing, and the placebo gives nothing."""
    files = {name: str(models[name]) for name in ("forget", "retain")}
    original, theirs = str(models["original"]), str(models["hider"])
    recipe = {
        "name": "table",
        "model": original,
        "workers": 0,
        "knowledge": {"name": "jsonl", **files, "placebo": "all"},
        "given": {"original": original, "candidates": {"not unlearned": original, "hider": theirs}},
        "attacks": [{"name": name, **grid} for name, grid in GRID.items()],
    }
    done = run(recipe, SMALL, tmp_path / "run")
    assert not done.failed and done.audit is not None
    methods = done.audit["worlds"][0]["methods"]
    rows = {(method["label"], row["attack"]): row for method in methods for row in method["attacks"]}
    assert rows["not unlearned", "quantise"]["after"]["value"] > 0.8
    assert rows["hider", "quantise"]["after"]["value"] < 0.5 < rows["hider", "relearn/qa"]["after"]["value"]
    assert all(row["control"]["value"] < 0.3 for row in rows.values())
    build(done.folder)
    text = (done.folder / "report.md").read_text()
    assert "| Attack | not unlearned | hider | Control |" in text
    assert any(line.startswith("| quantise |") for line in text.splitlines())
