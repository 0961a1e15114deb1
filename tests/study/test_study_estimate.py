"""What a plan says a study will take, against counts made by hand."""

from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from expunge.cli import tables
from expunge.knowledge.facts import Knowledge
from expunge.study import estimate
from expunge.study.cells import Cell
from expunge.study.estimate import Plan, Planned, estimated
from expunge.study.estimate_rows import CUTS, lengths, searched
from expunge.study.plan import study_of
from expunge.study.recipe import resolve
from expunge.study.store import Store
from reference.tiny_study import RECIPE


def facts() -> Knowledge:
    """The forget facts of the small study's world."""
    return study_of(resolve(RECIPE)).worlds[0][1][0].facts


def attack(name: str, **params: Any) -> float:
    return estimate._attack({"attack": name, "params": params, "only_before": False}, facts())


def certify(certificate: Any) -> float:
    return estimate._certify({"certificate": certificate}, facts())


@dataclass
class Suffixes:
    """What the estimate reads of a coordinate search."""

    questions: int = 3
    candidates: int = 8
    length: int = 8
    forms: tuple[str, ...] = ("qa",)


def test_a_step_of_coordinate_search_counts_every_token_that_is_read() -> None:
    """One place after the other is exchanged; what stands before its cut is shared, all behind is read anew."""
    grid, known = Suffixes(), facts()
    every, read = grid.length // CUTS, 0.0
    answers = [p.answer for fact in known.forget for p in fact.of_form("qa")]
    behind = fmean(1.5 * len(answer.split()) + 6 for answer in answers)
    for place in range(grid.length):
        read += grid.length - place // every * every + behind
    whole = fmean(lengths(known.forget, ("qa",))) + grid.length
    forward = grid.questions * grid.candidates * read / grid.length
    assert searched(grid, known) == pytest.approx(forward / 3 + grid.questions * whole * 2 / 3)


def test_a_suffix_costs_as_many_times_more_as_it_tries_more() -> None:
    before = attack("suffix", budgets=(1,), candidates=64) - attack("suffix", budgets=(1,), candidates=32)
    after = attack("suffix", budgets=(10,), candidates=64) - attack("suffix", budgets=(10,), candidates=32)
    assert after == pytest.approx(10 * before) and before > 0
    simple = 64 * sum(lengths(facts().forget, ("qa",))) / 3
    assert attack("suffix") > 5 * simple, "it is no attack that asks every question once a step"


def test_a_round_of_prompt_search_reads_every_proposal() -> None:
    few, many = (attack("prompt_search", budgets=(4,), proposals=number) for number in (8, 16))
    rows = lengths(facts().forget, ("qa",))
    assert many - few == pytest.approx(4 * 8 * min(8, len(rows) / 2) * fmean(rows) / 3)


def test_a_certificate_inside_another_is_counted() -> None:
    bare = {"name": "same_people", "rates": [1e-3], "steps": [8]}
    assert certify({"name": "rescaled", "inner": bare}) == certify(bare) > certify("trigger")


@pytest.mark.parametrize(
    ("method", "copies"),
    [
        ("npo", 5),
        ("npo+ema", 5),
        ("npo+sam", 6),
        ("npo+random_smoothing", 7),
        ("task_vector", 5),
        ({"name": "undo", "method": {"inner": "npo+sam"}}, 6),
    ],
)
def test_memory_counts_what_the_smoother_holds(method: Any, copies: int) -> None:
    """Weights, gradients, two moments, and the first step's copy or what is there when it is gone."""
    study = study_of(resolve({**RECIPE, "methods": [method]}))
    (made,) = [cell for cell in study.cells if cell.kind == "unlearn"]
    assert estimate._copies(made) == copies


def cell(kind: str, number: int) -> Cell:
    return Cell(kind, {"number": number}, label=f"{kind} {number}")


PLAN = Plan(
    (
        Planned(cell("teach", 0), "done", 5, 3600.0, 1.0),
        Planned(cell("unlearn", 0), "missing", 100, 1800.0, 1.0),
        Planned(cell("attack", 0), "missing", 300, 3600.0, 1.0),
        Planned(cell("unlearn", 1), "failed", 50, 900.0, 1.0),
    ),
    2,
    0.5,
)


def test_stages_sum_what_is_open() -> None:
    found = {stage.kind: (stage.cells, stage.tokens, stage.hours, stage.gpu_hours) for stage in PLAN.stages()}
    assert found == {"teach": (0, 0, 0, 0), "unlearn": (2, 150, 0.75, 0.375), "attack": (1, 300, 1.0, 0.5)}
    assert list(found) == ["teach", "unlearn", "attack"]


def test_the_plan_shows_hours_by_stage(capsys: pytest.CaptureFixture[str]) -> None:
    tables.cells(PLAN)
    said = capsys.readouterr().out
    assert "what is left, by stage" in said and "GPU-hours" in said
    (row,) = [line for line in said.splitlines() if "unlearn" in line and "150" in line]
    assert "0.75" in row and "0.38" in row


def test_gpus_are_those_of_the_executor(tmp_path: Path) -> None:
    plans = {
        name: estimated(study_of(resolve({**RECIPE, "executor": section})), Store(tmp_path)).stages()
        for name, section in {"none": "local", "two": {"name": "slurm", "gpus": 2}}.items()
    }
    assert {stage.gpu_hours for stage in plans["none"]} == {0.0}
    assert all(stage.gpu_hours == pytest.approx(2 * stage.hours) for stage in plans["two"])
    assert [stage.hours for stage in plans["two"]] == [stage.hours for stage in plans["none"]]
