"""The pool of an examined audit: the recipe's sections, the cells that it adds, and a whole tiny examination."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from expunge import api
from expunge.core.errors import InputError
from expunge.study.cells import in_order
from expunge.study.plan import study_of
from expunge.study.purge import purge
from expunge.study.recipe import Recipe, load, resolve
from expunge.study.verify import verify
from expunge.study.yaml import dump, parse

CERTIFICATE = {"name": "same_people", "rates": [3e-3], "steps": [8]}
RECIPE: dict[str, Any] = {
    "name": "pool",
    "model": {"source": "small", "template": "plain", "layers": 1, "hidden": 32, "vocab": 300},
    "knowledge": {
        "name": "people", "num_forget": 8, "num_retain_train": 4, "num_retain_eval": 2, "num_placebo": 16,
        "num_same_kind": 2, "attributes": 2,
    },
    "teach": {"forms": ["qa"], "train": {"lr": 1e-2, "epochs": 10, "batch_size": 16}, "forget": {"epochs": 60}},
    "unlearn": {"train": {"lr": 3e-3, "steps": 4, "batch_size": 4, "checkpoint_every": 0}},
    "innocents": [{"label": "other seed", "certificate": CERTIFICATE}, {"label": "wider", "model": {"hidden": 48}}],
    "methods": [{"name": "npo", "label": "shallow"}, {"name": "idk", "label": "refuses"}, {"name": "broken"}],
    "examine": {
        "hiders": {"shallow": CERTIFICATE, "refuses": "adapter"},
        "damaged": ["broken"],
        "held_out": ["wider", "refuses"],
    },
    "attacks": [
        {"name": "relearn", "sources": ["qa"], "rates": [1e-2], "steps": [16], "batch_size": 8, "extend": False},
    ],
    "eval": {"samples": 2, "sample_tokens": 4, "generate": 2, "costly": ["forget_quality"]},
    "audit": {"hider": "shallow", "resamples": 50},
    "workers": 0,
    "threads": 1,
}  # fmt: skip
ALONE = {key: value for key, value in RECIPE.items() if key not in ("innocents", "examine")}


@pytest.fixture
def recipe() -> Recipe:
    return resolve(RECIPE)


def test_it_reads_back_to_itself(recipe: Recipe) -> None:
    assert resolve(parse(dump(recipe.as_dict()), "resolved")) == recipe
    assert [one.number for one in recipe.innocents] == [2, 3] and recipe.innocents[1].family == "wider"
    assert "innocents" not in resolve(ALONE).as_dict() and "examine" not in resolve(ALONE).as_dict()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"examine": None}, "add the section 'examine'"),
        ({"innocents": [{"number": 2}]}, "needs a 'label'"),
        ({"innocents": [{"label": "a", "number": 1}]}, "0 and 1 are taken"),
        ({"innocents": [{"label": "wider", "number": 2}, {"label": "b", "number": 2}]}, "might be one model"),
        ({"innocents": [{"label": "wider", "model": {"vocab": 9}}]}, "no key 'vocab'"),
        ({"innocents": [{"label": "wider"}, {"label": "shallow"}]}, "of an innocent and of a method"),
        ({"model": "tiny"}, "only the model 'small' has"),
        ({"examine": {"hiders": {}}}, "name at least one"),
        ({"examine": {"hiders": {"shallow": "same_peple"}}}, "did you mean 'same_people'"),
        ({"examine": {"hiders": {"shallow": {"name": "same_people", "rate": 1}}}}, "did you mean 'rates'"),
        ({"examine": {**RECIPE["examine"], "damaged": ["brokn"]}}, "did you mean 'broken'"),
        ({"examine": {**RECIPE["examine"], "damaged": []}}, "'broken' must stand in"),
        ({"examine": {**RECIPE["examine"], "damaged": ["broken", "shallow"]}}, "in one only"),
        ({"examine": {**RECIPE["examine"], "held_out": ["widr"]}}, "did you mean 'wider'"),
        ({"examine": {**RECIPE["examine"], "held_out": ["shallow"]}}, "the audit uses it"),
        ({"knowledge": {**RECIPE["knowledge"], "taught": False}, "model": "smollm2"}, "worlds that are taught"),
        ({"tune": {"attacks": [{"name": "relearn", "sources": ["prose"]}]}}, "neither 'tune' nor 'given'"),
    ],
)
def test_mistakes_are_one_sentence(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        resolve({**RECIPE, **change})


def test_a_family_is_held_out_whole() -> None:
    methods = [*RECIPE["methods"], {"name": "idk", "label": "refuses more", "train": {"steps": 9}}]
    hiders = {**RECIPE["examine"]["hiders"], "refuses more": "adapter"}
    changed = {**RECIPE, "methods": methods, "examine": {**RECIPE["examine"], "hiders": hiders}}
    with pytest.raises(InputError, match="'refuses more' is of the held-out family 'idk'"):
        resolve(changed)
    changed["examine"]["held_out"] = ["wider", "refuses", "refuses more"]
    assert resolve(changed).examine is not None


def test_innocents_are_models_of_their_own(recipe: Recipe) -> None:
    entries = study_of(recipe).worlds[0][1][0].entries
    made = {entry.label: entry.made for entry in entries}
    assert len({cell.hash for cell in made.values() if cell is not None}) == len(entries)
    innocent = made["other seed"]
    assert innocent is not None and innocent.config["stage"] == "trunk" and set(innocent.inputs) == {"knowledge"}
    wider = made["wider"]
    assert wider is not None and wider.config["model"] == {**innocent.config["model"], "hidden": 48}
    assert all(len(entry.attacks) == len(entry.placebo) == 1 for entry in entries if entry.role != "null")


def test_the_audit_never_reads_a_certificate(recipe: Recipe) -> None:
    study = study_of(recipe)
    assert study.examine is not None
    below = {cell.kind for cell in in_order([study.audit])}
    certified = sorted(name.rpartition(".")[2] for name, cell in study.examine.inputs.items() if cell.kind == "certify")
    assert "certify" not in below and certified == ["other seed", "refuses", "shallow"]
    assert all(
        cell.config["seed"] == cell.inputs["model"].config["seed"] for cell in study.cells if cell.kind == "certify"
    )
    assert "truth" not in json.dumps(study.audit.config)


def test_examining_adds_cells_and_changes_none_that_makes_or_measures(recipe: Recipe) -> None:
    """But for permuted answers, which the placebo mode needs: the attacks on forget facts are others."""
    plain, pool = ({cell.folder for cell in study_of(one).cells} for one in (resolve(ALONE), recipe))
    assert {folder.partition("-")[0] for folder in plain - pool} == {"attack", "audit"}


KNOWN_CELLS = {
    "demo": (14, "4ae59a94b355f881"),
    "known": (16, "0b0e280ff9482225"),
}
"""Number of cells and the first digits of the SHA-256 of their folder names: as they would be without this section."""


@pytest.mark.parametrize("name", KNOWN_CELLS)
def test_shipped_recipes_keep_their_cells(root: Path, name: str) -> None:
    """A change here means that finished studies would be computed anew."""
    folders = sorted(cell.folder for cell in study_of(load(root / "recipes" / f"{name}.yaml")).cells)
    assert (len(folders), hashlib.sha256(" ".join(folders).encode()).hexdigest()[:16]) == KNOWN_CELLS[name]


def test_the_shipped_pool_is_large_enough(root: Path) -> None:
    """At least 60 models, 15 N and 15 P of them of held-out families, and one of each kind that must be there."""
    recipe = load(root / "recipes" / "meta.yaml")
    assert recipe.examine is not None and recipe.audit.hider in recipe.examine.hiders
    innocents, hiders = {one.label for one in recipe.innocents}, set(recipe.examine.hiders)
    worlds, held_out = len(recipe.seeds), set(recipe.examine.held_out)
    assert worlds * len(innocents | hiders | set(recipe.examine.damaged)) >= 60
    assert worlds * len(innocents & held_out) >= 15 <= worlds * len(hiders & held_out)
    names = {spec.name for spec in recipe.methods}
    assert {"npo", "idk", "rmu", "npo@lora", "refuse_all", "broken"} <= names
    assert {f"hide_{way}" for way in ("again", "form", "fragile", "noise", "rescaled", "trigger")} <= names
    assert 100 not in recipe.seeds


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> api.studying.Ran:
    """The finished examination."""
    return api.run(RECIPE, out=tmp_path_factory.mktemp("examined") / "run")


def document(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "examine.json").read_text())
    return found


def record(folder: Path, kind: str, label: str) -> dict[str, Any]:
    """The record of the cell of a kind whose label ends so."""
    found = [json.loads(path.read_text()) for path in (folder / "cells").glob(f"{kind}-*/record.json")]
    (one,) = [item for item in found if item["label"].endswith(label)]
    return one


def test_every_model_is_in_the_pool_with_its_truth(ran: api.studying.Ran) -> None:
    assert not ran.failed
    models = {one["label"]: one for one in document(ran.folder)["models"]}
    assert {label: one["claimed"] for label, one in models.items()} == {
        "other seed": "N", "wider": "N", "shallow": "P", "refuses": "P", "broken": "damaged",
    }  # fmt: skip
    assert [label for label, one in models.items() if one["held_out"]] == ["wider", "refuses"]
    assert models["refuses"]["family"] == "idk" and models["wider"]["family"] == "wider"
    restored = record(ran.folder, "certify", "shallow, certificate")["metrics"]["restored"]["value"]
    assert models["shallow"]["restored"] == restored and models["wider"]["certificate"] is None
    assert models["refuses"]["truth"] == "uncertified"  # its change is no adapter
    assert models["other seed"]["restored"] == 0.0  # what was never there cannot be restored


def test_the_retrained_mode_is_the_ordinary_audit(ran: api.studying.Ran) -> None:
    """One world and replicate: judged alone a model gets what audit.json says of it."""
    assert ran.audit is not None
    judged = {one["label"]: one["audit"] for one in document(ran.folder)["models"]}
    for entry in ran.audit["worlds"][0]["methods"]:
        own = judged[entry["label"]]["retrained"]
        assert (own["verdict"], own["e_star"], own["e0"]) == (entry["verdict"], entry["e_star"], entry["e0"])


def test_the_placebo_mode_knows_no_control(ran: api.studying.Ran) -> None:
    for one in document(ran.folder)["models"]:
        reasons = " ".join(one["audit"]["placebo"]["reasons"])
        assert "null row" not in reasons and "no control" not in reasons
        assert "placebo learning was not measured" not in reasons and one["audit"]["placebo"]["e_star"] is not None


def report(ran: api.studying.Ran) -> str:
    assert ran.report is not None
    return ran.report.with_suffix(".md").read_text()


def test_numbers_are_turned_towards_knowing(ran: api.studying.Ran) -> None:
    measured = record(ran.folder, "evaluate", ": shallow")["metrics"]
    numbers = next(one for one in document(ran.folder)["models"] if one["label"] == "shallow")["numbers"]
    assert numbers["probability"] == measured["probability"]["value"] and numbers["loss"] == -measured["loss"]["value"]
    assert "utility" not in numbers and "retain_kl" not in numbers and "relearn/qa" in numbers
    assert numbers["truth_ratio"] == -measured["truth_ratio"]["value"] and 0 < measured["truth_ratio"]["value"] <= 1
    assert numbers["forget_quality"] == -measured["forget_quality"]["value"], "which has no interval"
    assert set(document(ran.folder)["not_measured"]) >= {"klom"} and "forget quality" in report(ran)


def test_the_page_is_beside_the_report_and_can_be_rebuilt(ran: api.studying.Ran) -> None:
    names = ("examine.md", "examine.svg")
    before = [(ran.folder / name).read_bytes() for name in names]
    for name in names:
        (ran.folder / name).unlink()
    api.report(ran.folder)
    assert [(ran.folder / name).read_bytes() for name in names] == before


def test_a_changed_examination_is_found(ran: api.studying.Ran) -> None:
    assert verify(ran.folder, rows=0).problems == []
    path, text = ran.folder / "examine.json", (ran.folder / "examine.json").read_text()
    path.write_text(text.replace('"N"', '"P"'))
    (problem,) = verify(ran.folder, rows=0).problems
    path.write_text(text)
    assert "examine.json is not the one of examine-" in problem


def test_a_purge_takes_the_examination_along_and_may_keep_its_page(ran: api.studying.Ran, tmp_path: Path) -> None:
    shutil.copytree(ran.folder, tmp_path / "run")
    purge(tmp_path / "run", keep=("report",))
    left = {path.name for path in (tmp_path / "run").iterdir()}
    assert left == {"report.html", "report.md", "report.csv", "examine.md", "examine.svg"}
