"""Attacks on placebo facts beside a control: only what shows how fast a model learns them."""

from typing import Any

import pytest

from expunge.study.plan import study_of
from expunge.study.plan_speed import for_speed
from expunge.study.recipe import resolve
from expunge.study.sections import Attack

RAW: dict[str, Any] = {
    "name": "speed", "model": {"source": "tiny", "template": "plain"},
    "knowledge": {"name": "people", "num_forget": 8, "num_retain_train": 3, "num_retain_eval": 2, "num_placebo": 4},
    "methods": ["npo"],
    "attacks": [{"name": "relearn", "sources": ["qa", "unrelated"], "rates": [1e-3]}, {"name": "few_shot"}],
    "seeds": [0],
}  # fmt: skip


def placebo_attacks(**changes: Any) -> dict[str, list[tuple[str, Any, bool]]]:
    """Attack, sources and extension of the placebo cells, by model."""
    (_, (replicate,)) = study_of(resolve({**RAW, **changes})).worlds[0]
    return {
        entry.label: [
            (cell.config["attack"], cell.config["params"].get("sources"), cell.config["extend"])
            for cell in entry.placebo
        ]
        for entry in replicate.entries
        if entry.placebo
    }


def test_beside_a_control_only_what_shows_the_placebo_facts_is_trained_on() -> None:
    assert placebo_attacks() == {model: [("relearn", ["qa"], False)] for model in ("control", "npo")}


def test_where_placebos_are_the_control_they_meet_the_whole_grid() -> None:
    known = {"name": "known", "taught": False}
    grid = [("relearn", ["qa", "unrelated"], True), ("few_shot", None, True)]
    assert placebo_attacks(knowledge=known, model={"source": "smollm2", "template": "bare"}) == {"npo": grid}


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (("qa", "prose"), None),
        (("same_kind", "prefixes", "unrelated"), ["prefixes"]),
        (("retain>qa", "retain", "qa>retain"), ["retain>qa"]),
        (("unrelated", "same_kind"), None),
    ],
)
def test_what_ends_on_rows_of_t_shows_them(given: tuple[str, ...], kept: list[str] | None) -> None:
    attack = Attack(name="relearn", label="relearn", params={"sources": given, "steps": [2]})
    (speed,) = for_speed([attack])
    assert speed.params == {"sources": given if kept is None else kept, "steps": [2]} and not speed.extend


def test_a_default_source_needs_no_mention() -> None:
    (speed,) = for_speed([Attack(name="relearn", label="relearn")])
    assert speed.params == {}
