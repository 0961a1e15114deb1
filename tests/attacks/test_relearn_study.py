"""A recipe with a cut by keyword and the relearning protocols runs from the facts to the audit, and verifies."""

import json
from pathlib import Path
from typing import Any

import pytest

from expunge.core.errors import InputError
from expunge.knowledge.facts import Knowledge
from expunge.study import facts_io
from expunge.study.kinds.knowledge import _by_keyword
from expunge.study.omissions import not_tested
from expunge.study.run import run
from expunge.study.verify import verify
from reference.tiny_study import RECIPE, cell

KNOWLEDGE = {**RECIPE["knowledge"], "split_by": "keyword"}
TEACH = {"forms": ["qa"], "train": {"lr": 3e-3, "epochs": 8, "batch_size": 16}}
ATTACKS: list[dict[str, Any]] = [
    {"name": "benign_relearning", "rates": [3e-3], "steps": [2]},
    {"name": "relearn", "search": 2, "sizes": [2, "all"], "sources": ["retain>qa"], "access": ["full", "lora4"],
     "rates": [1e-3, 3e-3], "switch": 1, "steps": [1], "hits": "said", "extend": False},
    {"name": "rtt", "rates": [3e-3], "steps": [1], "folds": 2},
]  # fmt: skip


def test_protocols_in_a_study(tmp_path: Path) -> None:
    done = run({**RECIPE, "knowledge": KNOWLEDGE, "attacks": ATTACKS, "teach": TEACH}, out=tmp_path / "run")
    assert (done.exit_code, done.failed, done.skipped) == (0, {}, {}) and done.audit is not None
    (world,) = done.audit["worlds"]
    assert any("different facts about the same subjects" in line for line in world["not_tested"])
    assert {row["attack"] for row in world["methods"][0]["attacks"]} >= {"benign_relearning", "rtt"}
    material = facts_io.read(cell(done.folder, "knowledge"))
    assert {fact.subject for fact in material.split.score} == {fact.subject for fact in material.knowledge.forget}
    records = [json.loads(path.read_text()) for path in done.folder.glob("cells/attack-*/record.json")]
    walked = [record for record in records if len(record["points"]) > 1]
    assert len(walked) == 2 * len(ATTACKS), "the method and the control"
    for record in walked:
        assert all(counts["rows"] > 0 for counts in record["sources"].values())
    assert {frozenset(record["sources"]) for record in walked} == {frozenset({"retain", "qa"}), frozenset({"rows"})}
    searched = [tuple(point["id"] for point in record["points"]) for record in walked if "search" in record]
    assert len(searched) == 2 and len(set(searched)) == 1 and len(searched[0]) == 3, "every model meets the same draws"
    checked = verify(done.folder)
    assert checked.problems == [] and sum(check.rows for check in checked.checks) > 0


@pytest.mark.parametrize(
    ("attack", "untested"),
    [
        ({"sources": "rows", "access": "lora128"}, {"T facts as prose"}),
        ({"sources": ["retain>qa", "prose"], "access": ["lora"]}, set()),
        ({"sources": "prose"}, {"T facts as questions", "LoRA"}),
    ],
)
def test_what_a_grid_covers_is_not_listed_as_untested(attack: dict[str, Any], untested: set[str]) -> None:
    world = {"replicates": [{"models": []}], "knowledge": {"split_by": "subject"}}
    lines = " ".join(not_tested([{"name": "relearn", "extend": True, **attack}], world, []))
    words = {"T facts as questions", "T facts as prose", "LoRA"}
    assert {word for word in words if word in lines} == untested


def test_a_keyword_cut_and_requests_exclude_each_other() -> None:
    with pytest.raises(InputError, match="leave out 'requests'"):
        _by_keyword(Knowledge("none", ()), {"requests": 2, "seed": 1})
