"""What a plan says a study will take, against counts made by hand."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from expunge.cli import tables
from expunge.core.errors import InputError
from expunge.core.files import write_json
from expunge.knowledge.facts import Knowledge
from expunge.study import effort, estimate
from expunge.study.calibrate import calibrated
from expunge.study.cells import Cell
from expunge.study.effort import Effort
from expunge.study.estimate import Plan, Planned, estimated
from expunge.study.estimate_rows import CUTS, lengths, searched
from expunge.study.makespan import makespan
from expunge.study.plan import study_of
from expunge.study.rates import Rates
from expunge.study.recipe import resolve
from expunge.study.run import plan
from expunge.study.store import Store
from reference.tiny_study import RECIPE, copied


def facts() -> Knowledge:
    """The forget facts of the small study's world."""
    return study_of(resolve(RECIPE)).worlds[0][1][0].facts


def tokens(kind: str, config: dict[str, Any]) -> float:
    """The tokens of training that a cell's effort is worth."""
    return effort.RULES[kind](config, facts(), resolve(RECIPE).eval).tokens


def attack(name: str, **params: Any) -> float:
    return tokens("attack", {"attack": name, "params": params, "only_before": False})


def certify(certificate: Any) -> float:
    return tokens("certify", {"certificate": certificate})


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


OTHERS = {
    "knowledge": {"name": "people", "num_forget": 8, "taught": False},
    "given": {"original": "tiny", "candidates": {"a": "tiny"}},
}


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


def test_side_by_side_cells_wait_for_what_they_read() -> None:
    """A root of 2 s; two readers of 5 s and 1 s; a last one of 4 s that reads the short reader."""
    root = cell("knowledge", 0)
    long, short = Cell("teach", {"n": 1}, {"root": root}), Cell("teach", {"n": 2}, {"root": root})
    last = Cell("unlearn", {}, {"short": short})
    cells, seconds = (
        [root, long, short, last],
        {root.folder: 2.0, long.folder: 5.0, short.folder: 1.0, last.folder: 4.0},
    )
    assert [makespan(cells, seconds, abreast) for abreast in (1, 2, 9)] == [12.0, 7.0, 7.0]
    assert makespan(cells[1:], seconds, 2) == 5.0, "the root is there already"
    assert makespan([], {}, 2) == 0.0


def test_seconds_are_each_kind_of_token_over_its_rate() -> None:
    rates = Rates(trained=10, scored=40, written=2, start_s=7)
    assert rates.seconds(Effort(30, 80, 5)) == pytest.approx(3 + 2 + 2.5)
    assert Effort(30, 80, 5).tokens == pytest.approx(30 + 85 / 3)


def test_utility_is_read_at_every_point_of_an_attack() -> None:
    """R_eval is scored and answered anew at each: with no R_eval a grid of 2 × 3 points takes 7 such readings less."""
    params = {"rates": [1e-3, 1e-4], "steps": [1, 2, 4], "batch_size": 4}
    config = {"attack": "relearn", "params": params, "only_before": False}
    known, sizes = facts(), resolve(RECIPE).eval
    without = replace(known, retain_eval=())
    whole, less = (effort.RULES["attack"](config, world, sizes) for world in (known, without))
    assert whole.written / 7 == sum(1.5 * len(p.answer.split()) + 1 for f in known.retain_eval for p in f.of_form("qa"))
    assert less.written == 0 and whole.scored - less.scored == pytest.approx(
        7 * sum(lengths(known.retain_eval, ("qa",)))
    )
    assert whole.trained == less.trained


def test_finished_cells_correct_their_own_kind(tmp_path: Path) -> None:
    """Twice as slow at teaching as guessed, half as slow at unlearning; attacks, of which none is done, go by both."""
    study = study_of(resolve({**RECIPE, "seeds": [0, 1]}))
    rates = Rates(trained=10, scored=10, written=10, start_s=1)
    guessed = {item.cell.folder: item for item in estimated(study, Store(tmp_path / "none"), rates).cells}
    slower = {"teach": 2.0, "unlearn": 0.5}
    done = {kind: next(item for item in guessed.values() if item.cell.kind == kind) for kind in slower}
    for kind, item in done.items():
        folder = tmp_path / "some" / "cells" / item.cell.folder
        wall = 1 + slower[kind] * (item.seconds - 1)
        write_json(folder / "record.json", {"status": "done", "wall_s": wall, "tokens": 1, "peak_memory_mb": 1.0})
    for item in estimated(study, Store(tmp_path / "some"), rates).open:
        if item.cell.kind in ("knowledge", "audit"):  # nothing to be fast or slow at
            continue
        before = guessed[item.cell.folder].seconds - 1
        assert item.seconds - 1 == pytest.approx(slower.get(item.cell.kind, 1.25) * before), item.cell.label


def test_a_model_that_was_not_kept_is_counted_where_a_new_cell_reads_it(tmp_path: Path) -> None:
    folder = copied(tmp_path / "run")
    for path in folder.glob("cells/*/model"):
        shutil.rmtree(path)
    assert not plan(RECIPE, out=folder).open, "nobody reads them any more"
    more = plan({**RECIPE, "methods": ["npo", "gradient_difference"]}, out=folder)
    again = [item for item in more.open if item.status == "done"]
    assert {item.cell.kind for item in again} == {"teach"} and all(item.columns()[2] == "again" for item in again)
    assert all(item.seconds == Store(folder).record(item.cell)["wall_s"] for item in again)
    assert more.seconds(1) > sum(item.seconds for item in again)


def test_a_measured_speed_is_that_of_the_recipe_and_changes_only_the_time(tmp_path: Path) -> None:
    recipe = resolve(RECIPE)
    rates = calibrated(recipe)
    assert min(rates.trained, rates.scored, rates.written) > 0 and rates.start_s > 0
    assert rates.scored > rates.written, "one token after the other is slower than all at once"
    plain, measured = (estimated(study_of(recipe), Store(tmp_path), item) for item in (None, rates))
    assert [item.tokens for item in plain.cells] == [item.tokens for item in measured.cells]
    assert plain.seconds(1) != measured.seconds(1)


def test_models_of_others_cannot_be_measured_beforehand() -> None:
    given = {key: value for key, value in RECIPE.items() if key not in ("teach", "unlearn", "methods", "null")}
    with pytest.raises(InputError, match="plan without calibrating"):
        calibrated(resolve({**given, **OTHERS}))
