"""Which models are attacked with placebo facts, and how, where the models are given; and what an audit asks for."""

import json
from pathlib import Path
from typing import Any

import pytest

from expunge.api.auditing import _prepared
from expunge.core.errors import InputError
from expunge.study.plan import study_of
from expunge.study.recipe import resolve

NAMES = [
    f"{first} {first[::-1]}sen" for first in ("Ann", "Tom", "Eva", "Ida", "Ulf", "Sol", "Pia", "Kim", "Jon", "Lea")
]


@pytest.fixture
def forget(tmp_path: Path) -> Path:
    """Homes of people with two names."""
    path = tmp_path / "forget.jsonl"
    rows = [{"subject": name, "prompt": f"Home of {name}?", "answer": f"town {n}"} for n, name in enumerate(NAMES)]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.fixture
def nameless(tmp_path: Path) -> Path:
    """Rows without subjects."""
    path = tmp_path / "nameless.jsonl"
    path.write_text("\n".join(json.dumps({"prompt": f"Code {n}?", "answer": f"word {n}"}) for n in range(14)))
    return path


def asked(forget: Path, **given: Any) -> dict[str, Any]:
    """The recipe of an audit."""
    models = {"original": "base", "control": None, "suite": "quick", "out": forget.parent / "out", "seed": 0}
    recipe, _ = _prepared("theirs", forget, None, **{**models, **given})
    return recipe


def attacked(recipe: dict[str, Any]) -> dict[str, list[str]]:
    """The attacks on placebo facts by model."""
    (_, (replicate,)) = study_of(resolve(recipe)).worlds[0]
    return {entry.label: [cell.config["attack"] for cell in entry.placebo] for entry in replicate.entries}


def test_without_a_control_every_attack_meets_placebos_and_the_original_shows_its_speed(forget: Path) -> None:
    recipe = asked(forget)
    assert recipe["knowledge"][0]["placebo"] == "all"
    assert attacked(recipe) == {"original": ["relearn"], "theirs": ["relearn", "quantise", "rephrase"]}


def test_beside_a_control_placebos_show_the_speed_alone(forget: Path) -> None:
    """The null row stands for a model whose speed nobody asks for."""
    recipe = asked(forget, control=["never", "never too"])
    assert attacked(recipe) == {"original": [], "control": ["relearn"], "null": [], "theirs": ["relearn"]}


def test_an_audit_that_cannot_acquit_draws_none_unless_told_to(forget: Path) -> None:
    """A lone control leaves no null row; without the original there is no excess."""
    for given in ({"control": "never"}, {"original": None}, {"placebo": 0}):
        assert "placebo" not in asked(forget, **given)["knowledge"][0]
    told = asked(forget, control="never", placebo=5)
    assert told["knowledge"][0]["placebo"] == 5 and attacked(told)["control"] == ["relearn"]


def test_placebos_that_nobody_would_use_are_refused(forget: Path) -> None:
    with pytest.raises(InputError, match="without the original only absolute recovery is told"):
        asked(forget, original=None, placebo=5)
    with pytest.raises(InputError, match="a candidate behind an endpoint is only asked"):
        _prepared("http://localhost:1/v1?model=m", forget, None, "base", None, "quick", forget.parent / "o", 0, 5)


def test_facts_that_give_no_placebo_are_told_or_refused(nameless: Path) -> None:
    """By default the report says why there is none; a number that was asked for must be possible."""
    recipe = asked(nameless)
    assert "placebo" not in recipe["knowledge"][0]
    (line,) = [line for line in recipe["given"]["not_tested"] if line.startswith("placebo subjects: ")]
    assert "does not name its subject 'forget-" in line and "give the row a 'subject'" in line
    with pytest.raises(InputError, match="does not name its subject"):
        asked(nameless, placebo=5)
