"""The benchmarks' recipes: all load, and whole tiny studies run through the engine."""

import json
from pathlib import Path
from typing import Any

import pytest

from expunge.study import yaml
from expunge.study.recipe import load
from expunge.study.run import StudyResult, run
from reference.official import muse_tables, write

RECIPES = ("rwku", "restor", "muse_smoke", "wmdp_smoke", "birthdays")


def recipe(root: Path, name: str, **knowledge: Any) -> dict[str, Any]:
    """The recipe with a random tiny model, one step a stage, and everything taught."""
    raw: dict[str, Any] = yaml.read(root / "recipes" / f"{name}.yaml")
    raw["model"]["source"], raw["workers"] = "tiny", 0
    raw["knowledge"] |= {"taught": True, **knowledge}
    raw["teach"]["train"] = {"lr": 1e-4, "steps": 1, "batch_size": 4}
    raw["unlearn"]["train"] = {"lr": 1e-5, "steps": 1, "batch_size": 2}
    raw["attacks"] = [raw["attacks"][0] | {"steps": [1], "sources": raw["attacks"][0]["sources"][:1]}]
    raw["eval"] |= {"samples": 2, "sample_tokens": 4, "generate": 2}
    return raw


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_are_read(root: Path, name: str) -> None:
    raw = yaml.read(root / "recipes" / f"{name}.yaml")
    assert load(raw).knowledge[0].name == name.removesuffix("_smoke")


def unlearned(result: StudyResult) -> dict[str, Any]:
    """The metrics of the unlearned model before any attack."""
    records = [json.loads(path.read_text()) for path in result.folder.glob("cells/evaluate-*/record.json")]
    (own,) = [record for record in records if not record["label"].endswith(("original", "control", "as the others"))]
    return own["metrics"]  # type: ignore[no-any-return]


def test_muse_from_end_to_end(root: Path, tmp_path: Path) -> None:
    data = write(tmp_path / "data", muse_tables())
    result = run(recipe(root, "muse_smoke", data=str(data), passage_words=20), out=tmp_path / "run")
    assert result.exit_code == 0 and result.audit is not None, result.failed
    assert unlearned(result)["worst_form"]["value"] is not None


def test_rwku_from_end_to_end_with_its_own_forget_corpus(root: Path, tmp_path: Path) -> None:
    raw = recipe(root, "rwku", data=str(_target(tmp_path / "data")))
    raw["methods"][0]["builders"]["forget"] |= {"num": 2, "max_new_tokens": 8}
    result = run(raw, out=tmp_path / "run")
    assert result.exit_code == 0 and result.audit is not None, result.failed
    assert unlearned(result)["worst_form"]["value"] is not None


def _target(folder: Path) -> Path:
    """One invented target in RWKU's files."""
    towns = ("Orlo", "Bexhay", "Quindle", "Varrow", "Kestwick", "Haddam")
    base = {"subject": "Ada Low", "level": "1"}
    probes = [base | {"query": f"Question {n}?", "answer": town} for n, town in enumerate(towns)]
    near = [row | {"neighbor": f"Near {n % 2}", "answer": f"Near{n}"} for n, row in enumerate(probes)]
    text = [{"text": "Ada Low wrote long letters.", "subject": "Ada Low"}]
    tables: dict[tuple[str, str], Any] = {
        ("stephen_king", "intro"): [{"intro": "Please forget Ada Low.", "target": "Ada Low"}],
        ("stephen_king", "reject"): [{"instruction": "Who?", "output": "I cannot say."}],
    }
    for level, kind in (("1", "cloze"), ("2", "simple question"), ("3", "cross lingual (French)")):
        tables["stephen_king", f"forget_level{level}"] = [row | {"type": kind} for row in probes]
        tables["stephen_king", f"neighbor_level{level}"] = [row | {"type": kind} for row in near]
    for name in ("passage", "forget_mia", "retain_mia"):
        tables["stephen_king", name] = text
    return write(folder, tables)
