"""Requests one after another: the chain of models, what unlearners and measurements see, verdicts by request."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from expunge.builders.base import Material
from expunge.core.errors import InputError
from expunge.models.load import fingerprint
from expunge.report import build
from expunge.study import facts_io
from expunge.study.execute import execute
from expunge.study.kinds import unlearn
from expunge.study.plan import study_of
from expunge.study.purge import purge
from expunge.study.recipe import load, resolve
from expunge.study.run import StudyResult, plan, run
from expunge.study.status import status
from expunge.study.store import Store
from expunge.study.verify import verify
from expunge.study.yaml import dump, parse
from expunge.training.loop import TrainResult

RECIPE: dict[str, Any] = {
    "name": "sequence",
    "model": {"source": "small", "template": "plain", "layers": 1, "hidden": 32, "vocab": 500},
    "knowledge": {
        "name": "people", "num_forget": 16, "num_retain_train": 3, "num_retain_eval": 2, "num_placebo": 4,
        "num_same_kind": 2, "attributes": 1,
    },
    "teach": {"forms": ["qa"], "train": {"lr": 1e-2, "epochs": 60, "batch_size": 16}, "joint": True},
    "unlearn": {"train": {"lr": 1e-3, "steps": 2, "batch_size": 4, "checkpoint_every": 0}},
    "methods": [{"name": "gradient_difference", "label": "GradDiff"}],
    "attacks": [{"name": "relearn", "rates": [1e-2], "steps": [4], "batch_size": 4, "extend": False}],
    "eval": {"samples": 2, "sample_tokens": 4, "generate": 2},
    "audit": {"resamples": 50, "hider": "GradDiff"},
    "requests": 4,
    "workers": 0,
    "threads": 1,
}  # fmt: skip
ONCE = {key: value for key, value in RECIPE.items() if key != "requests"}
N = RECIPE["requests"]


@dataclasses.dataclass(frozen=True)
class Seen:
    """What one unlearner was given."""

    start: str
    forget: tuple[str, ...]
    retain: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Ran:
    """The finished study, and what its unlearners saw, in order."""

    result: StudyResult
    seen: list[Seen]

    @property
    def store(self) -> Store:
        return Store(self.result.folder)

    def whole(self) -> facts_io.Material:
        (folder,) = self.result.folder.glob("cells/knowledge-*")
        return facts_io.read(folder)

    def world(self, done: int) -> dict[str, Any]:
        """The audit's entry after ``done`` requests."""
        assert self.result.audit is not None
        found: dict[str, Any] = self.result.audit["worlds"][done - 1]
        return found


def folders(labels: str) -> list[str]:
    """Folders of the unlearn cells of a method, in the order of the requests."""
    cells = [cell for cell in study_of(resolve(RECIPE)).cells if cell.kind == "unlearn"]
    return [cell.folder for cell in cells if f": {labels} after" in cell.label]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    """The whole study, with every unlearner watched."""
    seen: list[Seen] = []
    plain = unlearn.run_method

    def watched(spec: Any, material: Material, **options: Any) -> TrainResult:
        sets = (tuple(fact.id for fact in facts) for facts in (material.forget, material.retain))
        seen.append(Seen(fingerprint(material.loaded.model), *sets))
        return plain(spec, material, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unlearn, "run_method", watched)
        yield Ran(run(RECIPE, out=tmp_path_factory.mktemp("requests") / "run"), seen)


def test_one_request_is_the_recipe_without_the_key() -> None:
    once, said = (study_of(resolve(raw)) for raw in (ONCE, {**RECIPE, "requests": 1}))
    assert [cell.hash for cell in once.cells] == [cell.hash for cell in said.cells] and once.index() == said.index()
    assert "requests" not in resolve(ONCE).as_dict()
    assert resolve(parse(dump(resolve(RECIPE).as_dict()), "resolved")) == resolve(RECIPE)


def test_what_is_taught_is_taught_once() -> None:
    """Trunk and null are those of the study without requests; θ₀ is one, however many requests there are."""
    taught = [{cell.folder for cell in study_of(resolve(raw)).cells if cell.kind == "teach"} for raw in (ONCE, RECIPE)]
    assert len(taught[1]) == 3 and len(taught[0] & taught[1]) == 2
    placebo = [cell for cell in study_of(resolve(RECIPE)).cells if cell.config.get("target") == "placebo"]
    assert len(placebo) == 1 + N and all(cell.inputs["knowledge"].kind == "knowledge" for cell in placebo)


def test_every_method_goes_on_from_what_it_left() -> None:
    """Two methods are two chains, and each begins at θ₀."""
    raw = {**RECIPE, "methods": ["npo", "gradient_difference"]}
    cells = {cell.label.rpartition(": ")[2]: cell for cell in study_of(resolve(raw)).cells if cell.kind == "unlearn"}
    for name in ("npo", "gradient_difference"):
        chain = [cells[f"{name} after {number} of {N}"] for number in range(1, N + 1)]
        assert chain[0].inputs["model"].config["stage"] == "joint"
        assert [cell.inputs["model"] for cell in chain[1:]] == chain[:-1]
        reads = [cell.inputs["knowledge"].config for cell in chain]
        assert reads == [{"first": number, "last": number} for number in range(1, N + 1)]


def test_all_is_done_and_named(ran: Ran) -> None:
    assert (ran.result.exit_code, ran.result.failed, ran.result.skipped) == (0, {}, {})
    assert ran.result.audit is not None
    worlds = ran.result.audit["worlds"]
    assert [world["label"] for world in worlds] == [f"people after {number} of {N}" for number in range(1, N + 1)]
    assert [method["label"] for world in worlds for method in world["methods"]] == [
        f"GradDiff after {number} of {N}" for number in range(1, N + 1)
    ]
    assert not any("no known hider" in reason for reason in worlds[1]["methods"][0]["reasons"])


def test_a_request_starts_from_the_weights_that_the_one_before_left(ran: Ran) -> None:
    made = [ran.store.root / "cells" / folder / "record.json" for folder in folders("GradDiff")]
    left = [json.loads(path.read_text())["hashes"]["model"] for path in made]
    original = next(cell for cell in study_of(resolve(RECIPE)).cells if cell.config.get("stage") == "joint")
    assert [one.start for one in ran.seen] == [ran.store.record(original)["hashes"]["model"], *left[:-1]]
    assert len({*left}) == N


def test_without_training_the_model_is_the_earlier_one(ran: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through every request the weights stay θ₀'s, bit for bit: nothing else touches them on the way."""

    def nothing(spec: Any, material: Material, **options: Any) -> TrainResult:
        return TrainResult(0, (), 0, "steps", material.loaded.model, "fp32", 0.0, 0.0)

    monkeypatch.setattr(unlearn, "run_method", nothing)
    other = study_of(resolve({**RECIPE, "unlearn": {"train": {"lr": 1e-3, "steps": 5}}}))
    chain = [cell for cell in other.cells if cell.kind == "unlearn"]
    assert [execute(cell.task(), ran.store, 1) for cell in chain] == [None] * N
    original = next(cell for cell in other.cells if cell.config.get("stage") == "joint")
    assert {ran.store.record(cell)["hashes"]["model"] for cell in (original, *chain)} == {ran.seen[0].start}


def test_an_unlearner_sees_its_own_request_and_what_is_retained(ran: Ran) -> None:
    """Facts of other requests are nowhere: neither forgotten nor retained."""
    whole = ran.whole().knowledge
    assert [set(one.forget) for one in ran.seen] == [set(ids) for ids in whole.requests]
    assert all(one.retain == tuple(fact.id for fact in whole.retain_train) for one in ran.seen)
    asked = [key for ids in whole.requests for key in ids]
    assert sorted(asked) == sorted(fact.id for fact in whole.forget) and len(set(asked)) == len(asked)


def scored(ran: Ran, done: int) -> dict[str, set[str]]:
    """The facts in the samples of every attack on a method after ``done`` requests, by side."""
    found: dict[str, set[str]] = {}
    cells = study_of(resolve(RECIPE)).cells
    label = f": GradDiff after {done} of {N}, forget"
    (cell,) = [cell for cell in cells if cell.kind == "attack" and cell.label.endswith(label)]
    for line in (ran.store.path(cell) / "samples.jsonl").read_text().splitlines():
        row = json.loads(line)
        found.setdefault(row["split"], set()).add(row["fact"])
    return found


@pytest.mark.parametrize("done", [1, 3, 4])
def test_what_is_attacked_and_scored_was_requested(ran: Ran, done: int) -> None:
    """T and V of every request up to now, and nothing of a later one."""
    whole = ran.whole()
    sides = {"T": whole.split.train, "V": whole.split.score}
    asked = {key for ids in whole.knowledge.requests[:done] for key in ids}
    for side, facts in sides.items():
        assert scored(ran, done)[side] == {fact.id for fact in facts} & asked
        for ids in whole.knowledge.requests:
            assert {fact.id for fact in facts} & set(ids)


def test_verdicts_by_request_are_of_that_requests_facts(ran: Ran) -> None:
    """After request 3 there are groups 1 to 3, and each says what its own V facts scored before the attack."""
    (method,) = ran.world(3)["methods"]
    assert [group["request"] for group in method["groups"]] == [1, 2, 3]
    label = f": GradDiff after 3 of {N}, forget"
    (cell,) = [c for c in study_of(resolve(RECIPE)).cells if c.kind == "attack" and c.label.endswith(label)]
    rows = [json.loads(line) for line in (ran.store.path(cell) / "samples.jsonl").read_text().splitlines()]
    for group, ids in zip(method["groups"], ran.whole().knowledge.requests, strict=False):
        own = [row for row in rows if row["split"] == "V" and row["fact"] in ids]
        before = [row["hit"] for row in own if row["point"] == "before"]
        assert group["before"]["value"] == pytest.approx(sum(before) / len(before))
        assert group["num_v_subjects"] == len({row["subject"] for row in own})
    (first,) = ran.world(1)["methods"]
    assert "groups" not in first


def test_utility_is_held_against_the_first_original(ran: Ran) -> None:
    """Every measurement reads the one baseline, which the original left before any request."""
    cells = study_of(resolve(RECIPE)).cells
    bases = {cell.inputs["original"].folder for cell in cells if "original" in cell.inputs}
    (base,) = bases
    assert (ran.result.folder / "cells" / base / "baseline.json").is_file()
    originals = {cell.inputs["original_model"].config["stage"] for cell in cells if "original_model" in cell.inputs}
    assert originals == {"joint"}


def test_plan_status_and_verify_know_it(ran: Ran) -> None:
    planned = plan(RECIPE, out=ran.result.folder)
    assert not planned.open
    assert all(item.seconds > 0 for item in plan(RECIPE, out=ran.result.folder / "elsewhere").cells)
    assert status(ran.result.folder).counts()["done"] == len(planned.cells)
    found = verify(ran.result.folder, rows=2)
    assert found.problems == [] and sum(check.rows for check in found.checks) > 0


def test_the_report_shows_the_requests(ran: Ran) -> None:
    page = build(ran.result.folder).read_text()
    text = (ran.result.folder / "report.md").read_text()
    for shown in (page, text):
        assert "Request after request" in shown and "After 3 of 4" in shown and "request 2" in shown
    assert "Requests unlearned" in page and "Ratio (original = 1)" in page


def test_purge_takes_all_of_it(ran: Ran, tmp_path: Path) -> None:
    """A study folder of the same shape, without the weights that other tests read."""
    for path in ran.result.folder.rglob("*.json*"):
        copy = tmp_path / "run" / path.relative_to(ran.result.folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    (tmp_path / "run" / "recipe.yaml").write_bytes((ran.result.folder / "recipe.yaml").read_bytes())
    removed = purge(tmp_path / "run")
    assert not (tmp_path / "run").exists() and any("request-" in name for name in removed.removed)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"requests": 0}, "whole number from 1"),
        ({"requests": 2.5}, "whole number from 1"),
        ({"requests": "four"}, "whole number from 1"),
        ({"tune": {"attacks": [{"name": "relearn", "sources": ["prose"]}]}}, "'requests' and 'tune' exclude"),
        (
            {
                "knowledge": {**RECIPE["knowledge"], "taught": False},
                "model": "x",
                "given": {"original": "x", "candidates": {"a": "x"}},
            },
            "'requests' and 'given' exclude",
        ),
    ],
)
def test_mistakes_are_one_sentence(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        resolve({**RECIPE, **change})


def test_a_world_with_a_cut_of_its_own_is_refused() -> None:
    with pytest.raises(InputError, match="official cut into T and V"):
        study_of(resolve({**RECIPE, "knowledge": {"name": "names"}}))


def test_the_shipped_recipe(root: Path) -> None:
    """Four requests, the three methods, one replicate; small enough for a quarter of an hour."""
    recipe = load(root / "recipes" / "sustainability.yaml")
    assert recipe.requests == 4 and recipe.teach.joint and len(recipe.seeds) == 1
    assert [spec.name for spec in recipe.methods] == ["gradient_difference", "npo", "npo+sam"]
    assert len([cell for cell in study_of(recipe).cells if cell.kind == "unlearn"]) == 12
