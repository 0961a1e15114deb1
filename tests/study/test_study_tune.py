"""Tuning: equal and steady trials that cover the space, a choice by rule, and nothing shared with the report."""

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.core.errors import InputError
from expunge.methods.grammar import parse
from expunge.study.plan import study_of
from expunge.study.recipe import Recipe, load, resolve
from expunge.study.run import plan as plan_study
from expunge.study.tuning.choose import Row, best, front
from expunge.study.tuning.draws import draws
from expunge.study.tuning.run import Tuned, plan, tune
from expunge.study.tuning.tables import as_csv, as_markdown, remarks
from expunge.study.tuning.trials import Trial, study_of_trials, trials_of
from expunge.study.tuning.tuned import tuned_recipe
from expunge.study.yaml import dump
from expunge.study.yaml import parse as parse_yaml

SPACE = {"train.lr": [1e-5, 1e-3], "objective.alpha": [0.3, 3], "smoothing.rho": [0.001, 0.1]}
RAW: dict[str, Any] = {
    "name": "try",
    "model": "tiny",
    "knowledge": {"name": "people", "num_forget": 4, "num_retain_train": 3, "num_retain_eval": 2, "num_placebo": 2},
    "unlearn": {"train": {"lr": 2e-4, "steps": 3}},
    "methods": [{"name": "npo", "label": "NPO"}, {"name": "npo+sam", "label": "NPO+SAM", "smoothing": {"rho": 0.02}}],
    "attacks": [{"name": "relearn", "sources": ["qa"], "rates": [1e-3], "steps": [1]}],
    "tune": {"attacks": [{"name": "relearn", "sources": ["prose"], "rates": [1e-3], "steps": [1]}], "space": SPACE},
}


def changed(**keys: Any) -> dict[str, Any]:
    """RAW with keys of the section ``tune`` replaced."""
    return {**RAW, "tune": {**RAW["tune"], **keys}}


def trials(raw: dict[str, Any]) -> tuple[Trial, ...]:
    recipe = resolve(raw)
    return trials_of(recipe, recipe.knowledge[0])


@given(
    count=st.integers(1, 9),
    low=st.floats(1e-6, 1e3),
    ratio=st.floats(1.5, 1e4),
    seed=st.integers(0, 2**40),
)
def test_every_stratum_is_drawn_from_once(count: int, low: float, ratio: float, seed: int) -> None:
    ends = (low, low * ratio)
    values = [draw["k"] for draw in draws({"k": ends}, frozenset(), count, seed, "NPO")]
    assert all(ends[0] <= value <= ends[1] for value in values)
    places = sorted(count * math.log(value / low) / math.log(ratio) for value in values)
    slack = count * 0.006 / math.log(ratio)  # a value is rounded to three digits
    assert all(stratum - slack <= place <= stratum + 1 + slack for stratum, place in enumerate(places))


def test_draws_follow_from_seed_label_and_key_alone() -> None:
    ranges = {"a": (1.0, 100.0), "b": (1.0, 100.0)}
    first = draws(ranges, frozenset(), 5, 0, "NPO")
    assert first == draws(ranges, frozenset(), 5, 0, "NPO")
    alone = draws({"b": (1.0, 100.0)}, frozenset(), 5, 0, "NPO")
    assert [draw["b"] for draw in alone] == [draw["b"] for draw in first] != [draw["a"] for draw in first]
    for other in (draws(ranges, frozenset(), 5, 1, "NPO"), draws(ranges, frozenset(), 5, 0, "SimNPO")):
        assert other != first


def test_whole_numbers_are_drawn_for_what_takes_them() -> None:
    raw = {**changed(trials=6, space={"train.steps": [2, 40]}), "methods": ["npo@lora"]}
    raw["methods"] = [{"name": "npo@lora", "space": {"scope.rank": [2, 16], "scope.alpha": [2, 16]}}]
    for trial in trials(raw)[1:]:
        assert all(type(trial.values[key]) is int for key in ("train.steps", "scope.rank"))
        assert isinstance(trial.values["scope.alpha"], float) and 2 <= trial.spec.train["steps"] <= 40
        assert trial.spec.scope.params["rank"] == trial.values["scope.rank"]


@pytest.mark.parametrize("number", [1, 2, 5])
def test_every_method_has_the_same_number_of_trials_and_the_first_is_its_own(number: int) -> None:
    found = trials(changed(trials=number))
    assert [trial.label for trial in found] == [
        f"{name} #{n + 1}" for name in ("NPO", "NPO+SAM") for n in range(number)
    ]
    assert found == trials(changed(trials=number))
    npo, sam = found[0], found[number]
    assert npo.spec == parse(RAW["methods"][0]) and sam.spec == parse(RAW["methods"][1])
    assert npo.values == {"train.lr": 2e-4, "objective.alpha": 1.0}, "NPO has no rho"
    assert sam.values == {**npo.values, "smoothing.rho": 0.02}
    drawn = [[trial.values["train.lr"] for trial in found[first + 1 : first + number]] for first in (0, number)]
    assert drawn[0] != drawn[1] or number == 1, "every method has draws of its own"
    for trial in found[1:number]:
        assert trial.spec.train == {"lr": trial.values["train.lr"]}
        assert trial.spec.objective.params == {"alpha": trial.values["objective.alpha"]}


def test_a_space_of_its_own_adds_overrides_and_takes_away() -> None:
    own = {"train.lr": [1.0, 2.0], "objective": {"beta": [5, 6]}, "objective.alpha": None}
    npo = [
        trial for trial in trials({**RAW, "methods": [{"name": "npo", "space": own}, "npo+sam"]}) if trial.number > 1
    ]
    for trial in npo[:3]:
        assert trial.values.keys() == {"train.lr", "objective.beta"}
        assert 1 <= trial.values["train.lr"] <= 2 and 5 <= trial.values["objective.beta"] <= 6
    assert npo[3].values.keys() == SPACE.keys() and npo[3].values["train.lr"] <= 1e-3


def test_spaces_survive_the_resolved_recipe_and_change_no_cell() -> None:
    spaced = {**RAW, "methods": [{"name": "npo", "space": {"train.lr": [1.0, 2.0]}}], "budgets": [0.1]}
    recipe = resolve(spaced)
    again = resolve(parse_yaml(dump(recipe.as_dict()), "resolved"))
    assert again == recipe and again.tune == recipe.tune is not None
    plain = resolve({**{key: value for key, value in spaced.items() if key != "tune"}, "methods": ["npo"]})
    assert [cell.hash for cell in study_of(recipe).cells] == [cell.hash for cell in study_of(plain).cells]


def test_overrides_reach_the_space() -> None:
    recipe = load({**RAW, "name": "x"}, ["tune.space.train.lr=[1, 2]", "tune.trials=7"])
    assert recipe.tune is not None and recipe.tune.space["train.lr"] == (1, 2) and recipe.tune.trials == 7


def test_budgets_release_every_method_once_each() -> None:
    methods = ["npo", {"name": "npo", "label": "own", "train": {"max_kl": 0.5}}, {"name": "npo", "label": "free"}]
    methods[2]["train"] = {"max_kl": None}  # type: ignore[index]
    recipe = resolve({**RAW, "methods": methods, "budgets": [0.01, 0.1]})
    released = {spec.label: spec.train["max_kl"] for spec in recipe.methods_of(recipe.knowledge[0])}
    assert released == {"npo | KL 0.01": 0.01, "npo | KL 0.1": 0.1, "own": 0.5, "free": None}
    limits = {cell.config["method"]["train"]["max_kl"] for cell in study_of(recipe).cells if cell.kind == "unlearn"}
    assert limits == {0.01, 0.1, 0.5, None}


def test_budgets_differ_in_the_budget_alone() -> None:
    found = trials({**RAW, "methods": ["npo"], "budgets": [0.01, 0.1]})
    assert [trial.label for trial in found[::4]] == ["npo | KL 0.01 #1", "npo | KL 0.1 #1"]
    for tight, loose in zip(found[:4], found[4:], strict=True):
        assert tight.values == loose.values
        assert {**tight.spec.train, "max_kl": 0.1} == loose.spec.train


def test_the_known_hider_is_not_tuned_and_stays_as_it_is() -> None:
    hider = {"name": "npo", "label": "shallow", "train": {"steps": 1, "max_kl": None}}
    recipe = resolve({**RAW, "methods": ["npo", hider], "audit": {"hider": "shallow"}, "budgets": [0.1]})
    found = trials_of(recipe, recipe.knowledge[0])
    assert {trial.spec.label for trial in found} == {"npo | KL 0.1"}
    tuned = resolve(parse_yaml(tuned_recipe(recipe, [Row("people", found[1])]), "tuned"))
    assert tuned.methods == (found[1].spec, parse(hider)) and tuned.audit.hider == "shallow"


def test_the_trials_share_no_world_and_no_attack_point_with_the_report() -> None:
    reported = study_of(resolve(RAW))
    tuned = study_of(study_of_trials(resolve(RAW)))
    assert not {cell.hash for cell in reported.cells} & {cell.hash for cell in tuned.cells}
    people = [{fact.subject for fact in study.worlds[0][1][0].facts.forget} for study in (reported, tuned)]
    assert people[0] and people[1] and not people[0] & people[1]
    attacks = [cell.config for cell in tuned.cells if cell.kind == "attack"]
    assert {attack["params"]["sources"][0] for attack in attacks} == {"prose"}
    assert not any(attack["extend"] for attack in attacks) and {attack["target"] for attack in attacks} == {"forget"}
    assert [world.label for world, _ in tuned.worlds] == ["people"] and len(
        tuned.recipe.knowledge[0].methods or ()
    ) == 8


def test_a_study_ignores_the_section() -> None:
    without = {key: value for key, value in RAW.items() if key != "tune"}
    assert study_of(resolve(RAW)).audit.hash == study_of(resolve(without)).audit.hash


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"tune": {**RAW["tune"], "seeds": [5, 0]}}, "tune.seeds and seeds share 0"),
        (changed(attacks=[{"name": "relearn", "sources": ["qa"], "rates": [1, 0.001]}]), "on 'qa' at rate 0.001"),
        (changed(trials=0), "at least 1 trial"),
        (changed(trials=2.5), "at least 1 trial"),
        (changed(attacks=[]), "at least one attack"),
        (changed(seeds=[]), "at least one seed"),
        (changed(seeds=[7, 7]), "each once"),
        (changed(utility=1.5), "from 0 to 1"),
        (changed(trails=3), "did you mean 'trials'"),
        (changed(space={"train.rl": [1, 2]}), "did you mean 'train.lr'"),
        (changed(space={"objective.alhpa": [1, 2]}), "did you mean 'objective.alpha'"),
        (changed(space={"objective.keep": [1, 2]}), "takes no number for 'objective.keep'"),
        (changed(space={"train.lr": [2, 1]}), "two ends of a range"),
        (changed(space={"train.lr": [0, 1]}), "two ends of a range"),
        (changed(space={"train.lr": 1}), "two ends of a range"),
        (changed(space={"train.lr": ["1", 2]}), "two ends of a range"),
        (changed(space=[1]), "must be a mapping"),
        ({"methods": []}, "has no methods"),
        ({"methods": [{"name": "npo", "space": {"smoothing.rho": [1, 2]}}]}, "the space of method 'npo'"),
        ({"methods": [{"name": "npo", "space": {"objective.bta": [1, 2]}}]}, "did you mean 'objective.beta'"),
        ({"budgets": [0.1, 0.1]}, "budgets has 0.1 twice"),
        ({"budgets": ["much"]}, "budgets has 'much'"),
        ({"budgets": [0.1], "tune": {**RAW["tune"], "space": {"train.max_kl": [0.1, 1]}}}, "remove one of the two"),
        ({"budgets": [0.1], "audit": {"hider": "NPO"}}, "every budget has its own label; known: NPO | KL 0.1"),
    ],
)  # fmt: skip
def test_mistakes_are_one_sentence(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence.replace("|", r"\|")) as caught:
        resolve({**RAW, **change})
    assert "\n" not in str(caught.value)


def test_a_recipe_without_the_section_is_not_tuned(tmp_path: Path) -> None:
    without = {key: value for key, value in RAW.items() if key != "tune"}
    with pytest.raises(InputError, match="no section 'tune'"):
        tune(without, out=tmp_path)
    assert not list(tmp_path.iterdir())


def row(number: int, utility: float | None, recovery: float = 0.5, excess: float | None = None, **more: Any) -> Row:
    """A trial's numbers."""
    return Row("w", Trial(parse("npo"), number, {}), utility, 0.1, recovery, excess, **more)


@pytest.mark.parametrize(
    ("rows", "number"),
    [
        ([row(1, 0.95, excess=0.5), row(2, 0.9, excess=0.2), row(3, 0.89, excess=0.0)], 2),
        ([row(1, 0.91, excess=0.2), row(2, 0.99, excess=0.2), row(3, 0.95, excess=0.2)], 2),
        ([row(1, 0.99, 0.1, excess=0.3), row(2, 0.99, 0.4, excess=-0.1)], 2),
        ([row(1, 0.99, 0.4), row(2, 0.99, 0.3, excess=0.9), row(3, 0.99, 0.35, excess=0.0)], 2),
        ([row(1, 0.2, excess=0.0), row(2, 0.6, excess=0.9), row(3, None, excess=0.0)], 2),
        ([row(1, None, 0.0, failure="gone"), row(2, 0.1, 1.0)], 2),
    ],
    ids=["floor", "tie", "excess", "some without excess", "none reaches the floor", "failed"],
)
def test_the_choice_by_rule(rows: list[Row], number: int) -> None:
    found = best(rows, 0.9)
    assert found is not None and found.trial.number == number
    assert best(rows[::-1], 0.9) is found


def test_nothing_is_chosen_from_failures_alone() -> None:
    assert best([row(1, None, failure="gone")], 0.9) is None


def test_the_front_is_what_nothing_beats() -> None:
    rows = [row(1, 0.9, 0.5), row(2, 0.9, 0.4), row(3, 0.8, 0.4), row(4, 0.5, 0.1), row(5, 0.9, 0.4), row(6, 0.4, 0.2)]
    assert [found.trial.number for found in front(rows)] == [2, 4, 5]


def test_worlds_that_choose_differently_keep_methods_of_their_own() -> None:
    raw = {**RAW, "knowledge": [RAW["knowledge"], {**RAW["knowledge"], "label": "other"}], "methods": ["npo"]}
    recipe = resolve(raw)
    first, second = trials_of(recipe, recipe.knowledge[0])[:2]
    same = resolve(parse_yaml(tuned_recipe(recipe, [Row("people", first), Row("other", first)]), "tuned"))
    assert same.methods == (first.spec,) and all(world.methods is None for world in same.knowledge)
    apart = resolve(parse_yaml(tuned_recipe(recipe, [Row("people", first), Row("other", second)]), "tuned"))
    assert [world.methods for world in apart.knowledge] == [(first.spec,), (second.spec,)]


def test_tables_show_every_trial_and_say_what_went_wrong() -> None:
    recipe = resolve({**RAW, "methods": ["npo", {"name": "npo", "label": "=1 | 2"}]})
    found = trials_of(recipe, recipe.knowledge[0])
    rows = [Row("people", trial, 0.5 + trial.number / 100, 0.1, 0.2, 0.3) for trial in found[:4]]
    rows += [Row("people", trial, failure="it diverged.") for trial in found[4:]]
    said = list(remarks([rows[:4], rows[4:]], [rows[3]], 0.9))
    assert said[0] == "people, npo: no trial kept a utility of 0.9; trial 4 kept the most (0.54)."
    assert said[-1] == "people, =1 | 2: every trial failed, so there is nothing to report."
    table = list(csv.DictReader(as_csv(rows, [rows[3]]).splitlines()))
    assert [line["chosen"] for line in table] == ["0", "0", "0", "1", "0", "0", "0", "0"]
    assert [float(line["train.lr"]) for line in table] == [trial.values["train.lr"] for trial in found]
    assert table[3]["front"] == "1" and table[4]["failure"] == "it diverged." and table[4]["method"] == "'=1 | 2"
    lines = as_markdown(recipe, rows, [rows[3]], said).splitlines()
    body = [line for line in lines if line.startswith("| ")]
    assert len(body) == 1 + len(rows) and {line.replace(r"\|", "").count("|") for line in body} == {
        len(lines[-2].replace(r"\|", "").split("|")) - 1
    }
    assert all(f"- {sentence}".replace("|", r"\|") in lines for sentence in said)


SMALL: dict[str, Any] = {
    "name": "tiny",
    "model": {"source": "small", "template": "plain", "layers": 1, "hidden": 64, "heads": 2, "vocab": 400},
    "knowledge": {
        "name": "people", "num_forget": 4, "num_retain_train": 3, "num_retain_eval": 2, "num_placebo": 0,
        "num_same_kind": 2, "attributes": 2,
    },
    "teach": {"forms": ["qa", "prose"], "train": {"lr": 5e-3, "epochs": 40, "batch_size": 16}},
    "unlearn": {"train": {"lr": 1e-3, "steps": 3, "batch_size": 4}},
    "methods": ["npo", {"name": "gradient_ascent", "space": {"train.lr": [1e-2, 1e-1]}}],
    "attacks": [{"name": "relearn", "sources": ["qa"], "rates": [3e-3], "steps": [1]}],
    "eval": {"samples": 2, "sample_tokens": 4, "generate": 1},
    "budgets": [0.1],
    "tune": {
        "trials": 2,
        "space": {"train.lr": [1e-4, 1e-3]},
        "attacks": [{"name": "relearn", "sources": ["prose"], "rates": [3e-3], "steps": [1]}],
    },
    "workers": 0,
    "keep_models": False,
}  # fmt: skip


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    """The trials of a small recipe, run."""
    return tune(SMALL, out=tmp_path_factory.mktemp("tune") / "out")


def test_tuning_ends_with_a_recipe_that_runs(tuned: Tuned) -> None:
    assert tuned.recipe == tuned.folder / "tuned.yaml" and not tuned.failed
    assert [row.trial.label for row in tuned.rows] == [
        "npo | KL 0.1 #1", "npo | KL 0.1 #2", "gradient_ascent | KL 0.1 #1", "gradient_ascent | KL 0.1 #2",
    ]  # fmt: skip
    assert [found.method for found in tuned.chosen] == ["npo | KL 0.1", "gradient_ascent | KL 0.1"]
    reported, asked = load(tuned.recipe), resolve(SMALL)
    assert reported.methods == tuple(found.trial.spec for found in tuned.chosen)
    assert (reported.seeds, reported.attacks, reported.tune) == (asked.seeds, asked.attacks, None)
    assert reported.name == "tiny" and reported.knowledge[0].params == asked.knowledge[0].params
    assert plan_study(tuned.recipe, out=tuned.folder / "none").open


def test_the_numbers_are_those_of_the_audit(tuned: Tuned) -> None:
    audit = json.loads((tuned.trials / "audit.json").read_text())
    entries = {entry["label"]: entry for entry in audit["worlds"][0]["methods"]}
    lines = list(csv.DictReader((tuned.folder / "trials.csv").open()))
    assert len(lines) == len(entries) == 4 and (tuned.folder / "trials.md").is_file()
    for line in lines:
        entry = entries[f"{line['method']} #{line['trial']}"]
        assert float(line["recovery"]) == entry["after"]["value"] and float(line["utility"]) == entry["utility_before"]
    assert audit["worlds"][0]["seeds"] == [100]


def test_tuning_again_computes_nothing(tuned: Tuned) -> None:
    _, planned = plan(SMALL, out=tuned.folder)
    assert not planned.open and len(planned.cells) == len(list((tuned.trials / "cells").iterdir()))
    before = {path: path.stat().st_mtime_ns for path in tuned.trials.glob("cells/*/record.json")}
    assert tune(SMALL, out=tuned.folder).chosen == tuned.chosen
    assert {path: path.stat().st_mtime_ns for path in tuned.trials.glob("cells/*/record.json")} == before


def test_a_trial_that_fails_is_a_trial_and_not_the_end(tuned: Tuned, monkeypatch: pytest.MonkeyPatch) -> None:
    from expunge.study import execute
    from expunge.study.kinds import unlearn

    def breaks(job: Any) -> Any:
        if job.config["method"]["name"] in ("gradient_ascent", "wga"):
            raise InputError("it diverged.")
        return unlearn.run(job)

    own = execute.function_of
    monkeypatch.setattr(execute, "function_of", lambda kind: breaks if kind == "unlearn" else own(kind))
    # The declared values of GA were tried before, under another label; that cell is done and counts.
    half = {**SMALL, "methods": ["npo", {"name": "gradient_ascent", "label": "GA"}]}
    done = tune(half, out=tuned.folder)
    assert done.recipe is not None and done.remarks == ("people, GA | KL 0.1 #2 failed: it diverged.",)
    assert [found.trial.label for found in done.chosen][1:] == ["GA | KL 0.1 #1"] and len(done.rows) == 4

    lost = {**SMALL, "methods": ["npo", "wga"]}
    done = tune(lost, out=tuned.folder)
    assert done.recipe is None and not (tuned.folder / "tuned.yaml").exists()
    assert set(done.failed) == {"people, wga | KL 0.1 #1", "people, wga | KL 0.1 #2"} and len(done.chosen) == 1

    monkeypatch.undo()
    again = tune(lost, out=tuned.folder)
    assert again.recipe is not None and not again.failed and len(again.chosen) == 2 and not again.remarks


def recipe_of(root: Path) -> Recipe:
    return load(root / "recipes" / "robustness.yaml")


def test_the_comparison_loads_and_reports_on_nothing_it_tunes_on(root: Path) -> None:
    recipe = recipe_of(root)
    assert recipe.tune is not None and recipe.tune.trials == 4 and {0.01, 0.1} < set(recipe.budgets)
    assert len(recipe.seeds) == 3 and not {*recipe.seeds} & {*recipe.tune.seeds, 1, 7}, "1 and 7 were looked at"
    assert 2 <= len(recipe.methods) <= 25
    found = trials_of(recipe, recipe.knowledge[0])
    tuned = {trial.spec.label for trial in found}
    assert len(found) == 4 * len(tuned) and all(trial.values for trial in found)
    assert tuned | {recipe.audit.hider} == {spec.label for spec in recipe.methods_of(recipe.knowledge[0])}


def test_no_method_of_the_comparison_costs_more_than_twenty_times_npo(root: Path) -> None:
    from expunge.study.estimate import estimated
    from expunge.study.store import Store

    recipe = load(root / "recipes" / "robustness.yaml", ["seeds=[0]"])
    plan = estimated(study_of(recipe), Store(root / "none"))
    costs = {item.cell.label.split(": ")[1]: item.tokens for item in plan.cells if item.cell.kind == "unlearn"}
    assert max(costs.values()) <= 20 * costs["NPO | KL 0.1"]
