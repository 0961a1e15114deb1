"""Verdicts by group: the whole world's rule on a group's scores, its own worst points, and what voids it."""

from typing import Any

import pytest

from expunge.audit.audit import audit
from expunge.audit.groups import Group
from reference.audit_groups import GUARDED, alone, joined, levels, rows

SETTINGS: dict[str, Any] = {"resamples": 200, "seed": 3}


def of(found: Any, label: str = "model") -> dict[str, Any]:
    return next(one for one in found.entry["methods"] if one["label"] == label)


@pytest.fixture(scope="module")
def parts() -> list[Group]:
    """The model has lost the first group, hides a third of the second, and still tells the last."""
    shown = [(0.0, 0.0), (0.0, 0.35), (0.9, 0.9)]
    return [Group({"request": n + 1}, rows(levels(one), 44, seed=n)) for n, one in enumerate(shown)]


def test_a_group_is_judged_as_if_it_were_all_there_is(parts: list[Group]) -> None:
    """Value for value: verdict, reasons, intervals and worst points are those of an audit of the group alone."""
    whole = joined([part.trajectories for part in parts])
    found = audit(whole, GUARDED, groups=parts, **SETTINGS)
    for label in ("model", "hider"):
        assert of(found, label)["groups"] == [alone(part, GUARDED, label, **SETTINGS) for part in parts]


def test_one_model_may_have_three_verdicts(parts: list[Group]) -> None:
    found = of(audit(joined([part.trajectories for part in parts]), GUARDED, groups=parts, **SETTINGS))
    assert [one["verdict"] for one in found["groups"]] == ["forgotten", "suppressed", "retained"]
    assert found["verdict"] == "retained"


def test_the_world_itself_stays_what_it_is(parts: list[Group]) -> None:
    """Every other entry is that of an audit without groups; with a single group there are none at all."""
    whole = joined([part.trajectories for part in parts])
    plain, grouped = (audit(whole, GUARDED, groups=groups, **SETTINGS) for groups in ((), parts))
    stripped = [{key: value for key, value in one.items() if key != "groups"} for one in grouped.entry["methods"]]
    assert {**grouped.entry, "methods": stripped} == plain.entry and grouped.edges == plain.edges
    assert audit(whole, GUARDED, groups=parts[:1], **SETTINGS).entry == plain.entry


def test_a_small_group_is_inconclusive_and_says_why() -> None:
    large, small = (Group({"attribute": name}, rows(levels((0.0, 0.0)), n)) for name, n in (("a", 44), ("b", 12)))
    faulty = Group({"attribute": "c"}, fault="1 V subject; two folds need at least 2, enlarge V.")
    whole = joined([large.trajectories, small.trajectories])
    one, two, three = of(audit(whole, GUARDED, groups=[large, small, faulty], **SETTINGS))["groups"]
    assert one["verdict"] == "forgotten" and two["verdict"] == three["verdict"] == "inconclusive"
    assert any("12 V subjects" in reason for reason in two["reasons"]) and two["num_v_subjects"] == 12
    assert three["reasons"] == [faulty.fault] and three["e_star"] is None and three["num_v_subjects"] == 0


def test_what_voids_the_world_voids_its_groups_and_not_the_other_way_round() -> None:
    sound, broken = (Group({"request": n + 1}, rows(levels((0.0, 0.0), null), 44)) for n, null in enumerate((0.0, 0.9)))
    small = audit(joined([sound.trajectories] * 9 + [broken.trajectories]), GUARDED, groups=[sound, broken], **SETTINGS)
    void = audit(joined([sound.trajectories, broken.trajectories]), GUARDED, groups=[sound, broken], **SETTINGS)
    for found in (small, void):
        assert found.entry["null"]["valid"] is False
        assert [one["verdict"] for one in of(found)["groups"]] == ["inconclusive"] * 2
        assert all("the study is invalid" in one["reasons"][0] for one in of(found)["groups"])
    whole = joined([sound.trajectories])
    kept = audit(whole, GUARDED, groups=[sound, broken], **SETTINGS)
    assert kept.entry["null"]["valid"] is True and of(kept)["verdict"] == "forgotten"
    assert [one["verdict"] for one in of(kept)["groups"]] == ["forgotten", "inconclusive"]
    assert "the group is invalid" in of(kept)["groups"][1]["reasons"][0]
