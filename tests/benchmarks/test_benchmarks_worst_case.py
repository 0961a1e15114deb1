"""Worst-case forget sets by a recipe: the subjects that a named model still tells are what a study forgets."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from expunge import registry
from expunge.benchmarks.worst_case import hardness
from expunge.core.errors import InputError
from expunge.core.seeds import derive
from expunge.knowledge.encode import rows_of
from expunge.knowledge.facts import Fact, Knowledge, Probe
from expunge.models.load import load as load_model
from expunge.models.save import save
from expunge.study import facts_io
from expunge.study.base_model import texts_of
from expunge.study.execute import Job
from expunge.study.kinds.knowledge import run as compute
from expunge.study.plan import Study, study_of
from expunge.study.recipe import load
from expunge.study.run import run
from expunge.training.config import TrainConfig
from expunge.training.loop import train
from reference import worst_case as twin
from reference.official import tiny
from reference.tiny_study import RECIPE

WORLD = {**RECIPE["knowledge"], "num_forget": 7}
PLANTED = 4
"""So many of the forget subjects the named model was trained on; it knows nothing of the others."""


def world() -> Knowledge:
    parameters = {key: value for key, value in WORLD.items() if key != "name"}
    built: Knowledge = registry.build("benchmark", "people", **parameters).build(derive(0, "world"))
    return built


def planted() -> set[str]:
    """Not the first ones, which an order kept by mistake would choose."""
    return set(list(dict.fromkeys(fact.subject for fact in world().forget))[-PLANTED:])


@pytest.fixture(scope="module")
def unlearned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model that still tells the planted subjects, as an unlearner leaves one behind that failed on them."""
    facts = [fact for fact in world().forget if fact.subject in planted()]
    loaded = load_model("tiny", template="plain", texts=texts_of(world()))
    rows = rows_of(facts, loaded.encoder, ["qa"])
    config = TrainConfig(lr=3e-3, steps=60, batch_size=len(rows), precision="fp32", seed=0)
    result = train(loaded.view(), {"teach": rows}, registry.build("objective", "cross_entropy"), config=config)
    folder = tmp_path_factory.mktemp("unlearned")
    save(loaded, folder / "model", model=result.model)
    return folder / "model"


def recipe(**worst_case: Any) -> dict[str, Any]:
    teach = {"forms": ["qa"], "train": {"lr": 1e-3, "steps": 2, "batch_size": 8}}
    unlearn = {"train": {"lr": 1e-4, "steps": 1, "batch_size": 4}}
    attack = {"name": "relearn", "sources": ["qa"], "rates": [1e-3], "steps": [1], "batch_size": 4, "extend": False}
    knowledge = {**WORLD, "worst_case": worst_case} if worst_case else WORLD
    model = {"source": "tiny", "template": "plain"}
    return {
        **RECIPE, "model": model, "knowledge": knowledge, "teach": teach, "unlearn": unlearn, "attacks": [attack],
    }  # fmt: skip


def cells(study: Study, kind: str) -> list[Mapping[str, Any]]:
    return [cell.config for cell in study.cells if cell.kind == kind]


def subjects(facts: tuple[Fact, ...]) -> set[str]:
    return {fact.subject for fact in facts}


def drawn(config: Mapping[str, Any], folder: Path) -> Knowledge:
    """What the knowledge cell writes."""
    folder.mkdir(exist_ok=True)
    compute(Job(config, {}, folder, folder))
    return facts_io.read(folder).knowledge


def test_what_the_named_model_still_tells_is_forgotten_by_a_whole_study(unlearned: Path, tmp_path: Path) -> None:
    result = run(recipe(subjects=PLANTED, model=str(unlearned)), out=tmp_path / "run")
    assert not result.failed and result.audit is not None
    (folder,) = (tmp_path / "run").glob("cells/knowledge-*")
    found, whole = facts_io.read(folder), world()
    assert subjects(found.knowledge.forget) == planted()
    assert subjects((*found.split.train, *found.split.score)) == planted()
    others = tuple(fact for fact in whole.forget if fact.subject not in planted())
    assert found.knowledge.retain_train == (*whole.retain_train, *others)
    assert json.loads((folder / "record.json").read_text())["hashes"]["worst_case"] == load_model(unlearned).fingerprint
    (trunk,) = [
        json.loads(path.read_text()) for path in (tmp_path / "run").glob("cells/teach-*/record.json")
        if json.loads(path.read_text())["label"].endswith("control")
    ]  # fmt: skip
    rows = sum(len(fact.of_form("qa")) for fact in (*whole.retain_train, *whole.retain_eval, *others))
    assert trunk["train"]["rows"] == rows, "the control is taught what is no longer forgotten"


def test_the_other_end_leaves_them_out_and_is_another_study(unlearned: Path, tmp_path: Path) -> None:
    hard, easy = (
        study_of(load(recipe(subjects=num, model=str(unlearned), easiest=easiest)))
        for num, easiest in ((3, False), (3, True))
    )
    (config,) = cells(easy, "knowledge")
    easiest = subjects(drawn(config, tmp_path / "easy").forget)
    assert len(easiest) == 3 and not planted() & easiest
    assert not {cell.folder for cell in hard.cells} & {cell.folder for cell in easy.cells}, "trunks differ as well"
    (config,) = cells(study_of(load(recipe(subjects=PLANTED, model=str(unlearned), score="greedy_match"))), "knowledge")
    assert subjects(drawn(config, tmp_path / "greedy").forget) == planted()


def test_the_score_is_the_mean_of_the_plain_models_losses(unlearned: Path) -> None:
    loaded = load_model(unlearned, template="plain")
    facts = world().forget
    hard = hardness(loaded.view(), loaded.encoder, facts)
    for fact in facts:
        assert hard(fact) == pytest.approx(-twin.ease(loaded, fact), rel=1e-4)
    assert twin.hardest_subjects(loaded, facts, PLANTED) == planted()


def test_a_document_is_scored_by_its_continuation() -> None:
    loaded = tiny()
    text = "one two three four five six seven eight"
    document, cut = (Fact("a", "a", (probe,)) for probe in (
        Probe("", text, "passage"), Probe("one two three four", "five six seven eight", "continuation"),
    ))  # fmt: skip
    values = {fact.probes[0].form: hardness(loaded.view(), loaded.encoder, [fact])(fact) for fact in (document, cut)}
    assert values["passage"] == pytest.approx(values["continuation"])


def test_another_model_at_the_same_place_is_another_cell_and_unset_adds_no_key(unlearned: Path) -> None:
    chosen = recipe(subjects=PLANTED, model=str(unlearned))
    (before,) = cells(study_of(load(chosen)), "knowledge")
    (unlearned / "config.json").touch()
    (after,) = cells(study_of(load(chosen)), "knowledge")
    assert before["worst_case"]["stamp"] != after["worst_case"]["stamp"]
    (plain,) = cells(study_of(load(recipe())), "knowledge")
    assert "worst_case" not in plain and "worst_case" not in load(recipe()).as_dict()["knowledge"][0]
    assert load(load(chosen).as_dict()) == load(chosen)


@pytest.mark.parametrize(
    ("choice", "sentence"),
    [
        ({"subjects": 0}, "at least 1"),
        ({"subjects": "many"}, "a whole number"),
        ({"model": "x"}, "needs the key 'subjects'"),
        ({"subjects": 2, "score": "los"}, "did you mean 'loss'"),
        ({"subjects": 2, "modle": "x"}, "did you mean 'model'"),
        ({"subjects": 2, "model": "http://localhost:1/v1"}, "weights can be read"),
        ({"subjects": 2, "easiest": "yes"}, "true or false"),
    ],
)
def test_mistakes_are_one_sentence(choice: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        load(recipe(**choice))


@pytest.mark.parametrize(
    ("choice", "sentence"),
    [
        ({"subjects": 2}, "random weights find nothing hard"),
        ({"subjects": 2, "model": "/nowhere/at/all"}, "is no folder"),
    ],
)
def test_models_that_say_nothing_are_refused_when_the_cell_runs(
    choice: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    (config,) = cells(study_of(load(recipe(**choice))), "knowledge")
    with pytest.raises(InputError, match=sentence):
        drawn(config, tmp_path)


def test_more_subjects_than_there_are_is_refused(unlearned: Path, tmp_path: Path) -> None:
    """By the plan already; and by the cell, where a model has left fewer than the world has."""
    with pytest.raises(InputError, match="subjects is 99, and knowledge"):
        study_of(load(recipe(subjects=99, model=str(unlearned))))
    (config,) = cells(study_of(load(recipe(subjects=PLANTED, model=str(unlearned)))), "knowledge")
    with pytest.raises(InputError, match="99 subjects are asked for"):
        drawn({**config, "worst_case": {**config["worst_case"], "subjects": 99}}, tmp_path)
