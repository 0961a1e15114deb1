"""Given models: what a recipe asks for of a candidate is measured without an original too, or refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from expunge.core.errors import InputError
from expunge.study.plan import study_of
from expunge.study.recipe import load, resolve

ASKED = {"costly": ["rouge_l_recall"], "judge": "rouge", "benchmark_scores": True, "generative": True}
ADDRESS = "http://localhost:1/v1?model=m"


@pytest.fixture
def book(tmp_path: Path) -> dict[str, Any]:
    """A world with scores of its own, which is taught to nobody."""
    text = " ".join(
        f"On day {n} the pilot met Quell in the old harbour and Quell said little of it." for n in range(40)
    )
    (tmp_path / "book.txt").write_text(text)
    return {"name": "familiarity", "text": str(tmp_path / "book.txt"), "passage_words": 40, "prompt_words": 8}


def recipe(world: dict[str, Any], candidate: str, **more: Any) -> dict[str, Any]:
    return {
        "name": "given", "model": "x", "knowledge": world, "given": {"candidates": {"theirs": candidate}},
        "attacks": [{"name": "rephrase"}], **more,
    }  # fmt: skip


def test_a_candidate_without_an_original_is_measured_as_the_recipe_says(book: dict[str, Any]) -> None:
    plain, asked = (study_of(resolve(recipe(book, "x", eval=section))).cells for section in ({}, ASKED))
    (before,), (after,) = ([cell.config for cell in cells if cell.kind == "evaluate"] for cells in (plain, asked))
    assert after["costly"] == ["rouge_l_recall"] and after["judge"] == "rouge" and after["generative"] is True
    assert after["benchmark"]["name"] == "familiarity"
    assert not {"costly", "judge", "benchmark", "generative"} & before.keys()


@pytest.mark.parametrize("key", ["benchmark_scores", "generative"])
def test_what_is_not_read_from_text_is_refused_of_an_endpoint(key: str, tmp_path: Path) -> None:
    path = tmp_path / "forget.jsonl"
    path.write_text(json.dumps({"prompt": "Where?", "answer": "There"}))
    world = {"name": "jsonl", "forget": str(path)}
    assert resolve(recipe(world, ADDRESS, eval={"costly": ["rouge_l_recall"]})).given is not None
    with pytest.raises(InputError, match=f"only asked, and eval.{key} is not read from text"):
        resolve(recipe(world, ADDRESS, eval={key: True}))
    with pytest.raises(InputError, match="form_axis is not read from text"):
        resolve(recipe({**world, "form_axis": ["cloze"]}, ADDRESS))


def test_the_shipped_table_is_of_the_models_that_another_recipe_makes(root: Path) -> None:
    made = {cell.folder for cell in study_of(load(root / "recipes" / "known.yaml")).cells if cell.kind == "unlearn"}
    recipe = load(root / "recipes" / "attacks.yaml")
    assert recipe.given is not None
    paths = [Path(path) for path in recipe.given.candidates.values() if path != recipe.given.original]
    assert {path.parts[-2] for path in paths} == made and {path.parts[0] for path in paths} == {"runs"}
    attacked = study_of(recipe).cells
    (world,) = {cell.folder for cell in attacked if cell.kind == "knowledge"}
    assert world in {cell.folder for cell in study_of(load(root / "recipes" / "known.yaml")).cells}, "the same T and V"
