"""The form axis: what is made of a question, what is counted, and that a recipe gets it for any world."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from expunge import api, registry
from expunge.benchmarks.form_axis import LETTERS, MADE, asked_in, check_forms, without_luck
from expunge.core.errors import InputError
from expunge.knowledge.encode import rows_of
from expunge.knowledge.facts import Fact, Probe
from expunge.models.load import load as load_model
from expunge.scoring.probes import ProbeScore, score_facts
from expunge.scoring.teacher_forced import RowScore
from expunge.study.form_axis import over_forms
from expunge.study.plan import study_of
from expunge.study.recipe import load
from expunge.training.config import TrainConfig
from expunge.training.loop import train
from reference import form_axis as twin
from reference.tiny_study import RECIPE

NAMES = {"Ada Low": "Orlo", "Berta Hill": "Bexhay", "Cyril Marsh": "Tumbrel", "Diana Fen": "Varrow", "Edgar Moor": "Q"}
FACTS = tuple(
    Fact(name, name, (Probe(f"Where was {name} born?", town),), "town") for name, town in NAMES.items()
)  # fmt: skip


def made(form: str, facts: tuple[Fact, ...] = FACTS, seed: int = 0) -> dict[str, tuple[Probe, ...]]:
    return {fact.id: fact.of_form(form) for fact in asked_in(facts, [form], pool=FACTS, seed=seed)}


def test_a_gap_holds_the_answer() -> None:
    assert made("cloze")["Ada Low"] == (
        Probe('Fill in the gap: The answer to the question "Where was Ada Low born?" is ___.', "Orlo", "cloze"),
    )
    stated = Fact("s", "s", (Probe("The capital of Orlo is", "Tum"),))
    assert made("cloze", (stated,))["s"][0].prompt == "Fill in the gap: The capital of Orlo is ___."


def test_a_typo_is_one_swap_in_the_name_and_the_answer_stays() -> None:
    for name, (probe,) in made("typo").items():
        assert twin.one_swap(f"Where was {name} born?", probe.prompt) and probe.answer == NAMES[name]
        if name in ("Berta Hill", "Cyril Marsh", "Diana Fen", "Edgar Moor"):
            assert name not in probe.prompt
    assert len({made("typo", seed=seed)["Cyril Marsh"][0].prompt for seed in range(9)}) > 1


def test_half_a_word_is_given_and_the_whole_is_the_answer() -> None:
    found = made("subtoken")
    assert (
        found["Cyril Marsh"][0].prompt.endswith('begins with "Tum".)') and found["Cyril Marsh"][0].answer == "Tumbrel"
    )
    assert found["Edgar Moor"] == (), "half of one letter is nothing"


def test_a_choice_is_asked_in_every_rotation_among_others_answers() -> None:
    for name, probes in made("choice").items():
        options = [re.findall(r"\n[A-D]\. (.+)", probe.prompt) for probe in probes]
        assert len(probes) == 4 and all(sorted(row) == sorted(options[0]) for row in options)
        assert all(row[LETTERS.index(probe.answer)] == NAMES[name] for row, probe in zip(options, probes, strict=True))
        assert set(options[0]) <= set(NAMES.values()) and len(set(options[0])) == 4
        assert {probe.answer for probe in probes} == set(LETTERS)
        assert twin.guesses_that_win([probe.answer for probe in probes]) == 0
        assert all({probe.answer, *probe.perturbed} == set(LETTERS) for probe in probes)


def test_options_are_of_the_same_attribute_and_never_the_answer_itself() -> None:
    jobs = (Fact("j1", "Ada Low", (Probe("What was she?", "orlo"),), "job"),)
    assert made("choice", jobs)["j1"] == (), "no other subject has such an attribute"
    double = (*FACTS, Fact("twin", "Gus Tarn", (Probe("Where was Gus Tarn born?", "ORLO"),), "town"))
    (first, *_) = made("choice", double)["twin"]
    assert len(re.findall("orlo", first.prompt, re.IGNORECASE)) == 1


def test_own_forms_stay_and_documents_get_none() -> None:
    own = Fact("o", "o", (Probe("Why?", "So", "qa"), Probe("___ is so.", "It", "cloze")))
    assert asked_in((own,), ["cloze"], pool=FACTS, seed=0) == (own,)
    text = Fact("t", "t", (Probe("", "one two three four five six", "passage"),))
    assert asked_in((text,), MADE, pool=FACTS, seed=0) == (text,)


def scored(fact: Fact, probe: Probe, hit: bool, logprob: float) -> ProbeScore:
    return ProbeScore(fact, probe, RowScore("k", (logprob,), (hit,), (0.0,), (0.0,), (1,)))


def test_a_question_counts_once_by_its_worst_rotation() -> None:
    (fact,) = asked_in(FACTS[:1], ["choice"], pool=FACTS, seed=0)
    turned = fact.of_form("choice")
    lucky = [scored(fact, probe, probe.answer == "A", -0.1 * at - 0.1) for at, probe in enumerate(turned)]
    sure = [scored(fact, probe, True, -0.1 * at - 0.1) for at, probe in enumerate(turned)]
    plain = scored(fact, fact.probes[0], True, -1.0)
    assert [item.score.greedy for item in without_luck([plain, *lucky])] == [True, False]
    (kept,) = without_luck(sure)
    assert kept.score.greedy and kept.score.logprobs == pytest.approx((-0.4,))
    own = scored(fact, Probe("Pick.\nA. x\nB. y", "A", "choice"), True, -1.0)
    assert without_luck([own, own]) == [own, own], "a benchmark's own choices stay as they are"


def test_what_is_planted_in_one_form_only_shows_there() -> None:
    """A model taught the gaps alone: the question tells nothing, the worst form all."""
    forms = ["typo", "cloze"]
    facts = asked_in(FACTS, forms, pool=FACTS, seed=0)
    loaded = load_model("tiny", template="plain", texts=[p.prompt + p.answer for fact in facts for p in fact.probes])
    rows = rows_of(facts, loaded.encoder, ["cloze"])
    config = TrainConfig(lr=5e-3, steps=150, batch_size=len(rows), precision="fp32", seed=0)
    train(loaded.view(), {"teach": rows}, registry.build("objective", "cross_entropy"), config=config)
    found = over_forms(loaded.view(), loaded.encoder, FACTS, FACTS, forms, ("qa",), 0)
    hits = {
        form: [float(item.score.greedy) for item in score_facts(loaded.view(), loaded.encoder, facts, [form])]
        for form in ("qa", *forms)
    }
    most, spread = twin.worst(hits)
    assert found["worst_form"]["value"] == pytest.approx(most) == 1.0
    assert found["form_spread"]["value"] == pytest.approx(spread) and spread > 0
    assert {name: item["value"] for name, item in found.items() if name.startswith("form.")} == {
        f"form.{form}": pytest.approx(sum(row) / len(row)) for form, row in hits.items()
    }
    never = load_model("tiny", template="plain", seed=1)
    blank = over_forms(never.view(), never.encoder, FACTS, FACTS, MADE, ("qa",), 0)
    assert blank["worst_form"]["value"] == 0.0 == blank["form.choice"]["value"]


def recipe(*axis: str) -> dict[str, Any]:
    attack = {"name": "relearn", "sources": ["qa"], "rates": [1e-3], "steps": [1], "batch_size": 4, "extend": False}
    knowledge = {**RECIPE["knowledge"], **({"form_axis": list(axis)} if axis else {})}
    teach = {"forms": ["qa"], "train": {"lr": 1e-3, "steps": 2, "batch_size": 8}}
    return {**RECIPE, "knowledge": knowledge, "teach": teach, "attacks": [attack]}


def test_a_recipe_gets_the_forms_of_every_model(tmp_path: Path) -> None:
    result = api.run(recipe("all", *MADE), out=tmp_path / "run")
    assert not result.failed
    found = {}
    for path in (tmp_path / "run").glob("cells/evaluate-*/record.json"):
        record = json.loads(path.read_text())
        found[record["label"].split(": ")[1]] = record["metrics"]
    own = {probe.form for fact in study_of(load(recipe())).worlds[0][1][0].facts.forget for probe in fact.probes
           if probe.prompt}  # fmt: skip
    for label in ("npo", "control", "original, as the others"):
        assert {f"form.{form}" for form in (*own, *MADE)} <= found[label].keys()
        table = [found[label][f"form.{form}"]["value"] for form in (*own, *MADE)]
        assert found[label]["worst_form"]["value"] == pytest.approx(max(table))
        assert found[label]["form_spread"]["value"] == pytest.approx(max(table) - min(table))
    assert "form.typo" not in found["original"], "its first cell stays as it was"
    assert "form: typo" in (result.folder / "report.md").read_text()


def test_only_evaluations_change() -> None:
    plain, axis = ({cell.folder: cell for cell in study_of(load(one)).cells} for one in (recipe(), recipe("typo")))
    assert {axis[folder].kind for folder in axis.keys() - plain.keys()} == {"evaluate", "audit"}
    assert load(load(recipe("typo")).as_dict()) == load(recipe("typo"))
    assert "form_axis" not in load(recipe()).as_dict()["knowledge"][0]


def test_mistakes_are_one_sentence() -> None:
    with pytest.raises(InputError, match="did you mean 'cloze'"):
        study_of(load(recipe("clozee")))
    with pytest.raises(InputError, match="name a form or a list"):
        load({**recipe(), "knowledge": {**RECIPE["knowledge"], "form_axis": {"a": 1}}})
    check_forms(["qa", "typo", "all"], FACTS)
