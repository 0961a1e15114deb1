"""The table by attack: the same statistics on fewer points, and what must hold between its rows and the overall one."""

import numpy as np
import pytest

from expunge.audit.audit import audit
from expunge.audit.by_attack import attack_of
from expunge.audit.types import Trajectories
from reference.audit_studies import POINTS, study

PROMPT = ("forms/rephrase/0/1", "forms/rephrase/0/4")
TAMPER = ("rtn/quantise/4/1",)


def extended(rows, points, shown):
    """``rows`` with further points; at these the method answers what ``shown`` gives, everyone else nothing."""
    found = []
    for row in rows:
        if row.role == "original":
            found.append(row)
            continue
        share = shown if row.role == "method" else 0.0
        more = np.zeros((len(points), len(row.subjects)))
        more[:, : round(share * len(row.subjects))] = 1.0
        num = len(row.points) + len(points)
        found.append(
            Trajectories(
                row.label,
                row.role,
                row.replicate,
                row.subjects,
                (*row.points, *points),
                np.concatenate([row.scores_PS, more]),
                np.ones(num, dtype=bool),
                np.ones(num),
                np.ones(num),
            )
        )
    return found


def method(rows):
    """The only method's entry."""
    (found,) = audit(rows, resamples=200).entry["methods"]
    return found


@pytest.fixture
def rows():
    """Two replicates of a model that knows a third in secret."""
    return study(np.random.default_rng(3), 30, 2, planted=0.3)


def test_names() -> None:
    names = [attack_of(point) for point in ("qa/full/1e-05/4", "prose/lora/0.001/2", *PROMPT, *TAMPER)]
    assert names == ["relearn/qa", "relearn/prose/lora", "rephrase", "rephrase", "quantise"]


def test_a_lone_attack_is_the_overall_row(rows) -> None:
    found = method(rows)
    (only,) = found["attacks"]
    assert only["attack"] == "relearn/qa" and only["points"] == len(POINTS) - 1
    assert (only["after"], only["e_star"]) == (found["after"], found["e_star"])
    assert only["worst_points"] == found["worst_points"]


def test_an_attack_is_judged_as_if_it_were_the_only_one(rows) -> None:
    """Points of other attacks leave no trace in a row: neither in b*, nor in the control's b*, nor in the interval."""
    alone, among = method(rows), method(extended(rows, (*PROMPT, *TAMPER), 0.9))
    row = next(row for row in among["attacks"] if row["attack"] == "relearn/qa")
    assert row == alone["attacks"][0]


def test_the_overall_worst_point_is_the_worst_of_the_attacks_worst_points(rows) -> None:
    """On all of V, before folds: no attack's best point beats the overall one, and one attains it."""
    whole = extended(rows, (*PROMPT, *TAMPER), 0.4)
    found = method(whole)
    for replicate, overall in enumerate(found["worst_points"]):
        own = next(row for row in whole if (row.role, row.replicate) == ("method", replicate))
        means = dict(zip(own.points, own.scores_PS.mean(axis=1).tolist(), strict=True))
        worst = [means[row["worst_points"][replicate]] for row in found["attacks"]]
        assert means[overall] == pytest.approx(max(worst))


@pytest.mark.parametrize(("shown", "winning"), [(0.95, "quantise"), (0.0, "relearn/qa")])
def test_the_winner(rows, shown, winning) -> None:
    found = method(extended(rows, TAMPER, shown))
    values = [row["after"]["value"] for row in found["attacks"]]
    assert found["winning_attack"]["attack"] == winning == found["attacks"][0]["attack"]
    assert found["winning_attack"]["lead"] == pytest.approx(values[0] - values[1]) and values[0] > values[1]


def test_nothing_won(rows) -> None:
    plain = [row for row in rows if row.role != "method"]
    silent = [
        Trajectories(
            row.label,
            row.role,
            row.replicate,
            row.subjects,
            row.points,
            np.zeros_like(row.scores_PS),
            row.usable_P,
            row.t_recall_P,
            row.utility_P,
        )
        for row in rows
        if row.role == "method"
    ]
    assert method([*plain, *silent])["winning_attack"] is None


def test_a_control_without_the_attack_gives_no_excess(rows) -> None:
    """What the control never went through is not compared with what it did."""
    control = [row for row in rows if row.role == "control"]
    found = method([*extended([row for row in rows if row.role != "control"], TAMPER, 0.5), *control])
    row = next(row for row in found["attacks"] if row["attack"] == "quantise")
    assert row["e_star"] is None and row["missing"].startswith("no control")


def test_the_control_stands_beside_every_attack(rows) -> None:
    """Under relearning it answers what it answers overall; under what teaches it nothing, what it says by itself."""
    whole = audit(extended(rows, TAMPER, 0.4), resamples=200).entry
    found = {row["attack"]: row["control"] for row in whole["methods"][0]["attacks"]}
    assert found["relearn/qa"] == whole["control"]["after"]
    assert found["quantise"] == whole["control"]["before"]
    alone = [row for row in rows if row.role != "control"]
    assert all(row["control"] is None for row in audit(alone, resamples=50).entry["methods"][0]["attacks"])
