"""Recipes: YAML, overrides, resolution, and a suggestion for every unknown key."""

from pathlib import Path
from typing import Any

import pytest

from expunge.core.errors import InputError
from expunge.study.overrides import apply
from expunge.study.recipe import load, resolve
from expunge.study.yaml import dump, parse, read

RAW: dict[str, Any] = {
    "name": "try",
    "model": "tiny",
    "knowledge": "people",
    "methods": ["npo", {"name": "npo+sam", "train": {"lr": 1e-4}}],
    "attacks": ["relearn"],
}


@pytest.mark.parametrize("text", ["1e-5", "1E5", "2.5e-3", "-.5", "3.0", "+1e+3"])
def test_numbers_are_numbers(text: str) -> None:
    value = parse(text, "here")
    assert isinstance(value, float) and value == float(text)


@pytest.mark.parametrize(("text", "value"), [("12", 12), ("npo", "npo"), ("1.2.3", "1.2.3"), ("[1, 2e0]", [1, 2.0])])
def test_other_values_stay_what_they_are(text: str, value: object) -> None:
    assert parse(text, "here") == value and type(parse(text, "here")) is type(value)


def test_python_objects_are_refused() -> None:
    with pytest.raises(InputError, match="line 1"):
        parse("!!python/object/apply:os.getcwd []", "here")


def test_resolved_recipe_reads_back_to_itself() -> None:
    recipe = resolve(RAW)
    assert resolve(parse(dump(recipe.as_dict()), "resolved")) == recipe


def test_yaml_takes_the_key_null_for_nothing() -> None:
    assert resolve({**RAW, **parse("null: false", "here")}).null is False


def test_overrides_reach_lists_and_short_forms() -> None:
    texts = ["model.template=plain", "knowledge.num_forget=4", "methods.1.train.lr=2e-5", "methods.0.label=N"]
    recipe = resolve(apply(RAW, [*texts, "teach.train.steps=3", "null=false"]))
    assert recipe.model.template == "plain" and recipe.knowledge[0].params == {"num_forget": 4}
    assert recipe.methods[1].train["lr"] == 2e-5 and recipe.methods[0].label == "N"
    assert recipe.teach.train == {"steps": 3} and recipe.null is False
    assert RAW["model"] == "tiny" and RAW["methods"][1]["train"]["lr"] == 1e-4


@pytest.mark.parametrize("override", ["methods.7.label=x", "methods.x=1", "nonsense", "=3", "name.sub=1"])
def test_bad_overrides(override: str) -> None:
    with pytest.raises(InputError, match="override"):
        apply(RAW, [override])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"knowlege": 1}, "did you mean 'knowledge'"),
        ({"model": {"sorce": "tiny"}}, "did you mean 'source'"),
        ({"teach": {"trian": {}}}, "did you mean 'train'"),
        ({"knowledge": "peple"}, "unknown benchmark 'peple'; did you mean 'people'"),
        ({"knowledge": {"name": "people", "num_forgot": 3}}, "did you mean 'num_forget'"),
        ({"attacks": [{"name": "relearn", "rate": [1]}]}, "did you mean 'rates'"),
        ({"attacks": ["relern"]}, "did you mean 'relearn'"),
        ({"methods": ["npo", "npo"]}, "the label 'npo' twice"),
        ({"methods": []}, "has no methods"),
        ({"seeds": [1, 1]}, "seeds must differ"),
        ({"threads": -1}, "threads must be at least 0"),
        ({"model": None}, "needs the key 'model'"),
        ({"knowledge": "known"}, "choose a pretrained model"),
        ({"teach": []}, None),
    ],
)
def test_mistakes_are_one_sentence(change: dict[str, Any], sentence: str | None) -> None:
    if sentence is None:
        assert resolve({**RAW, **change}).teach.rehearsal == 1.0
        return
    with pytest.raises(InputError, match=sentence):
        resolve({**RAW, **change})


def test_missing_and_malformed_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_text("a: [1\nb: 2")
    with pytest.raises(InputError, match=r"bad.yaml is not valid YAML \(line 2\)"):
        load(tmp_path / "bad.yaml")
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(InputError, match="is not a recipe"):
        load(tmp_path / "list.yaml")
    with pytest.raises(InputError, match="readable YAML"):
        read(tmp_path)


def test_name_comes_from_the_file(tmp_path: Path) -> None:
    raw = {key: value for key, value in RAW.items() if key != "name"}
    (tmp_path / "mine.yaml").write_text(dump(raw))
    assert load(tmp_path / "mine.yaml", ["replicates=2"]).name == "mine"
    assert load(tmp_path / "mine.yaml", ["replicates=2"]).seeds == (0, 1)


@pytest.mark.parametrize("name", ["demo", "people", "names", "known", "replay", "sustainability", "tofu", "tofu_smoke"])
def test_shipped_recipes_resolve(root: Path, name: str) -> None:
    recipe = load(root / "recipes" / f"{name}.yaml")
    assert recipe.name == name and recipe.attacks
