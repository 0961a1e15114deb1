"""The examination of a pool: who counts, which number is fooled, what is counted, and which claims hold."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from expunge.audit.controls import placebo_speed
from expunge.audit.examine import examine
from expunge.audit.examine_pool import Member
from expunge.audit.table import Table
from expunge.audit.types import Trajectories
from expunge.audit.verdict import speed_guard
from expunge.core.errors import InputError
from reference.audit_studies import trajectories
from reference.examined import auc, judged, member, pool


def examined(members: Sequence[Member]) -> dict:
    """A small examination, by way of JSON."""
    return json.loads(json.dumps(examine(members, epsilon=0.1, resamples=50), allow_nan=False))


@pytest.fixture
def members() -> list[Member]:
    """64 models that the audit tells apart, and four damaged ones."""
    return pool(np.random.default_rng(4))


def changed(members: Sequence[Member], which: Callable[[Member], bool], **fields) -> list[Member]:
    """The pool with the first model of a kind changed."""
    first = next(index for index, one in enumerate(members) if which(one))
    return [replace(one, **fields) if index == first else one for index, one in enumerate(members)]


def held_out(truth: str) -> Callable[[Member], bool]:
    return lambda one: one.held_out and one.truth == truth


def test_aucs_are_those_of_certified_and_innocent_models(members: list[Member]) -> None:
    doubtful = changed(members, held_out("P"), restored=0.79, numbers={"weak": -100.0})
    for scope, keep in (("all", lambda one: True), ("held_out", lambda one: one.held_out)):
        found = examined(doubtful)["scopes"][scope]
        knows = [one for one in doubtful if one.claimed == "P" and one.restored >= 0.8 and keep(one)]
        never = [one for one in doubtful if one.claimed == "N" and keep(one)]
        assert found["counts"]["P"] == len(knows) and found["counts"]["uncertified"] == 1
        for single in found["single"]:
            values = [[one.numbers[single["name"]] for one in side] for side in (knows, never)]
            assert single["auc"]["value"] == pytest.approx(auc(*values))
        assert found["audit"]["retrained"]["auc"]["value"] == 1.0


@pytest.mark.parametrize(("restored", "truth"), [(None, "uncertified"), (0.79, "uncertified"), (0.8, "P")])
def test_a_hider_needs_a_certificate_and_nobody_else_does(restored: float | None, truth: str) -> None:
    assert member("a", "P", 0.5, "suppressed", restored=restored).truth == truth
    assert {member("a", claimed, 0.5, "x", restored=restored).truth for claimed in ("N", "damaged")} == {"N", "damaged"}


def test_a_number_is_fooled_by_models_that_score_no_higher_than_some_innocent(members: list[Member]) -> None:
    found = {one["name"]: one for one in examined(members)["scopes"]["all"]["single"]}
    knows = [one for one in members if one.truth == "P"]
    never = [one for one in members if one.truth == "N"]
    for name, single in found.items():
        highest = max(one.numbers[name] for one in never)
        fooling = [one for one in knows if one.numbers[name] <= highest]
        values = [[one.numbers[name] for one in side] for side in (fooling, never)]
        assert single["fooling"]["P"] == len(fooling) > 0
        assert single["fooling"]["auc"] == pytest.approx(auc(*values))
        assert single["fooling"]["audit"] == {"retrained": 1.0, "placebo": 1.0}
    assert found["blind"]["auc"]["value"] == found["blind"]["fooling"]["auc"] == 0.5
    sharp = [replace(one, numbers={"sharp": float(one.truth == "P")}, kinds={"sharp": "metric"}) for one in members]
    assert examined(sharp)["scopes"]["all"]["single"][0]["fooling"] is None


def test_missing_numbers_are_counted_and_never_guessed(members: list[Member]) -> None:
    without = changed(
        members, held_out("N"), numbers={}, judged=dict.fromkeys(("retrained", "placebo"), judged(None, "inconclusive"))
    )
    found = examined(without)
    assert {one["missing"] for one in found["scopes"]["all"]["single"]} == {1}
    assert found["scopes"]["held_out"]["audit"]["placebo"]["missing"] == 1
    claims = {one["claim"]: one for one in found["claims"]}
    assert claims["AUC at least 0.99 with placebo controls alone"]["holds"] is False
    assert examined([one for one in members if one.truth != "N"])["scopes"]["all"]["single"][0]["auc"] is None


def test_tables_count_every_model_once(members: list[Member]) -> None:
    doubtful = changed(members, held_out("P"), restored=None)
    for scope in examined(doubtful)["scopes"].values():
        for table in (*scope["confusion"].values(), scope["usability"]):
            assert {truth: sum(row.values()) for truth, row in table.items()} == scope["counts"]
    assert examined(doubtful)["scopes"]["all"]["usability"]["damaged"] == {"usable": 0, "damaged": 4, "unmeasured": 0}


def test_every_claim_holds_of_a_good_audit(members: list[Member]) -> None:
    assert [one["holds"] for one in examined(members)["claims"]] == [True] * 14


GUILTY, LOST = judged(0.99, "suppressed"), judged(0.0, "forgotten")


@pytest.mark.parametrize(
    ("which", "fields", "broken"),
    [
        ("N", {"judged": {"retrained": GUILTY, "placebo": judged(0.0, "forgotten")}}, ["no N called", "AUC at least"]),
        ("P", {"judged": {"retrained": LOST, "placebo": judged(0.5, "suppressed")}}, ["no P called", "AUC at least"]),
    ],
)
def test_one_wrong_verdict_breaks_the_claims_it_concerns(members, which, fields, broken) -> None:
    claims = examined(changed(members, held_out(which), **fields))["claims"]
    lost = [one["claim"] for one in claims if one["holds"] is False]
    assert all(any(text.startswith(start) for text in lost) for start in broken)
    assert not any("placebo" in text for text in lost)


def test_an_error_outside_the_held_out_models_breaks_no_claim(members: list[Member]) -> None:
    """They were there while the audit was made, so they prove nothing either way."""
    known = changed(
        members,
        lambda one: one.truth == "N" and not one.held_out,
        judged=dict.fromkeys(("retrained", "placebo"), GUILTY),
    )
    assert all(one["holds"] for one in examined(known)["claims"])


def test_inconclusive_verdicts_and_small_pools(members: list[Member]) -> None:
    unsure = judged(0.0, "inconclusive")
    names = [id(one) for one in members if held_out("N")(one)][:4]
    found = [replace(one, judged=dict.fromkeys(one.judged, unsure)) if id(one) in names else one for one in members]
    lost = [one["claim"] for one in examined(found)["claims"] if one["holds"] is False]
    assert lost == [
        f"at most 10% inconclusive with {what}" for what in ("the retrained control", "placebo controls alone")
    ]
    small = examined([one for one in members if one.world != "w0"])["claims"][0]
    assert small["holds"] is False and "12 N and 12 P" in small["found"]


def test_a_single_number_as_good_as_the_audit_is_not_beaten_where_it_is_not_fooled(members: list[Member]) -> None:
    better = [replace(one, judged={m: judged(0.5, "suppressed") for m in one.judged}) for one in members]
    claims = {one["claim"]: one["holds"] for one in examined(better)["claims"]}
    assert claims["AUC not below that of any single number with the retrained control"] is False
    assert (
        claims["AUC above that of every single number on the models that fool it with the retrained control"] is False
    )


def test_a_broken_model_must_be_called_damaged(members: list[Member]) -> None:
    passed = examined(changed(members, lambda one: one.truth == "damaged", usability="usable"))["claims"][-1]
    assert passed["holds"] is False and passed["found"] == "3 of 4"


def test_bad_pools() -> None:
    one = member("a", "N", 0.0, "forgotten")
    for members in ([], [one, one]):
        with pytest.raises(InputError, match="empty or holds a model twice"):
            examine(members, epsilon=0.1, resamples=10)
    assert math.isnan(judged(None, "inconclusive").statistic)


def test_without_a_control_the_original_says_how_fast_placebo_facts_are_learned() -> None:
    """Both were attacked with them: the control counts where it is there, else the original, else nobody."""

    def taught(label: str, top: float) -> Trajectories:
        row = trajectories(label, "placebo", 0, np.zeros((11, 12)), variant="subjects")
        row.t_recall_P[:] = np.linspace(0, top, 11)
        return row

    roles = {"method": "m", "control": "c", "original": "o"}
    models = {role: trajectories(label, role, 0, np.zeros((11, 12))) for role, label in roles.items()}
    placebos = {"method": taught("m", 0.4), "control": taught("c", 0.5), "original": taught("o", 0.8)}

    def speed(*present: str) -> float:
        rows = [rows[role] for role in ("method", *present) for rows in (models, placebos)]
        return placebo_speed(Table(rows, resamples=10, seed=0, usable_only=False), "m")

    assert speed("control", "original") == speed("control") == pytest.approx(0.8)
    assert speed("original") == pytest.approx(0.5) and math.isnan(speed())
    for rows in placebos.values():
        rows.t_recall_P[-1] = math.nan  # a prompt teaches nothing
    assert speed("control") == pytest.approx(0.8)


def test_half_of_the_originals_speed_is_enough_and_the_sentence_names_it() -> None:
    assert speed_guard(0.6, "original") is None and "0.60 of the control's" in str(speed_guard(0.6))
    assert "0.40 of the original's speed (< 0.5)" in str(speed_guard(0.4, "original"))
