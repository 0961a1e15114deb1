"""What a world is too small for is refused by the plan, and what a model leaves of requests by the knowledge cell."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from expunge import registry
from expunge.benchmarks.base import Benchmark
from expunge.core.errors import InputError
from expunge.knowledge.facts import Knowledge
from expunge.knowledge.worlds.people import people
from expunge.study import facts_io
from expunge.study.execute import Job
from expunge.study.kinds import knowledge as cell
from expunge.study.plan import study_of
from expunge.study.recipe import resolve
from expunge.study.run import plan, run
from reference.tiny_study import RECIPE

WORLD = {"name": "people", "num_forget": 6, "num_retain_train": 2, "num_retain_eval": 2, "num_placebo": 2}


def recipe(knowledge: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**RECIPE, "knowledge": {**WORLD, **knowledge}, **more}


@pytest.mark.parametrize(
    ("knowledge", "more", "told"),
    [
        ({}, {"requests": 50}, r"50 requests need 100 subjects, and knowledge 'people' forgets 6; lower 'requests'"),
        ({}, {"requests": 4}, "4 requests need 8 subjects"),
        ({"worst_case": {"subjects": 500}}, {}, "worst_case.subjects is 500, and knowledge 'people' has 6 subjects"),
        ({"worst_case": {"subjects": 5}}, {"requests": 3}, "3 requests need 6 subjects, .* forgets 5"),
        ({"split_by": "fact"}, {"requests": 10}, "10 requests need 20 subjects, .* forgets 18"),
        ({"worst_case": {"subjects": 19}, "split_by": "fact"}, {}, "has 18 subjects"),
    ],
)
def test_the_plan_refuses_more_than_there_is(
    knowledge: dict[str, Any], more: dict[str, Any], told: str, tmp_path: Path
) -> None:
    """Before anything is run, and nothing is written."""
    for verb in (plan, run):
        with pytest.raises(InputError, match=told):
            verb(recipe(knowledge, **more), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("knowledge", "requests"),
    [({}, 3), ({"split_by": "fact"}, 9), ({"worst_case": {"subjects": 6}}, 3), ({"worst_case": {"subjects": 6}}, 1)],
)
def test_just_enough_is_planned(knowledge: dict[str, Any], requests: int) -> None:
    assert study_of(resolve(recipe(knowledge, requests=requests))).cells


def test_subjects_that_go_together_are_counted_once_where_no_model_chooses(tmp_path: Path) -> None:
    """Four subjects with two answers are two groups, which is one request's worth."""
    path = tmp_path / "forget.jsonl"
    path.write_text("\n".join(json.dumps({"prompt": f"Town {n}?", "answer": f"place {n % 2}"}) for n in range(4)))
    world = {"name": "jsonl", "forget": str(path), "taught": True}
    with pytest.raises(InputError, match="2 requests need 4 groups of subjects that share nothing, and there are 2"):
        study_of(resolve({**RECIPE, "knowledge": world, "requests": 2}))


def test_facts_that_a_model_chooses_are_bounded_only() -> None:
    """What is known is not known yet: 5 requests may do, 200 never will."""
    world = {**RECIPE, "model": "smollm2", "knowledge": {"name": "known"}}
    assert study_of(resolve({**world, "requests": 5})).cells
    with pytest.raises(InputError, match="200 requests need 400 subjects"):
        study_of(resolve({**world, "requests": 200}))


@dataclass(frozen=True, kw_only=True)
class Ordered(Benchmark):
    """People who are asked for in two requests of the world's own."""

    own: bool = True

    def build(self, seed: int) -> Knowledge:
        world = people(seed=seed, **{key: value for key, value in WORLD.items() if key != "name"})  # type: ignore[arg-type]
        ids = [fact.id for fact in world.forget]
        return replace(world, requests=(tuple(ids[:9]), tuple(ids[9:]))) if self.own else world


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., facts_io.Material]:
    """What the knowledge cell writes where the model knows the first ``num`` facts only."""
    entry = registry.Entry("benchmark", "ordered", Ordered)
    monkeypatch.setitem(registry._entries, ("benchmark", "ordered"), entry)
    stub = SimpleNamespace(view=lambda: None, encoder=None, fingerprint="")
    monkeypatch.setattr(cell, "base_model", lambda *_: stub)

    def written(num: int, **params: Any) -> facts_io.Material:
        known = lambda view, encoder, world: replace(world, forget=world.forget[:num])  # noqa: E731
        monkeypatch.setattr(cell, "keep_known", known)
        config = {"name": "ordered", "params": params, "split_fraction": 0.5, "split_by": "subject", "seed": 0}
        cell.run(Job({**config, "requests": 2, "known": {"source": "some"}}, {}, tmp_path, tmp_path))
        return facts_io.read(tmp_path)

    return written


def test_requests_keep_what_the_model_knows(left: Callable[..., facts_io.Material]) -> None:
    material = left(15)
    assert [len(ids) for ids in material.knowledge.requests] == [9, 6]
    assert {fact.id for fact in material.knowledge.forget} == {
        key for ids in material.knowledge.requests for key in ids
    }


def test_a_request_of_which_the_model_knows_nothing_is_refused_by_its_number(
    left: Callable[..., facts_io.Material],
) -> None:
    with pytest.raises(InputError, match="request 2 of 2 is empty: the model knows none of its facts"):
        left(9)


def test_too_few_known_facts_for_drawn_requests_are_refused(left: Callable[..., facts_io.Material]) -> None:
    assert len(left(12, own=False).knowledge.requests) == 2
    with pytest.raises(InputError, match="2 requests need 4 groups of subjects that share nothing, and there are 3"):
        left(9, own=False)
