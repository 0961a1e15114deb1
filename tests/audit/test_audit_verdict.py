"""The verdict table, by cases, and the guards that let an attack count."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.audit.types import Interval
from expunge.audit.verdict import (
    Evidence,
    decide,
    hider_guard,
    replicate_note,
    speed_guard,
    t_recall_guard,
    usability,
)

NOTHING = Interval(0.0, -0.02, 0.05)
UNSURE = Interval(0.1, -0.1, 0.3)
MUCH = Interval(0.6, 0.4, 0.8)


@pytest.mark.parametrize(
    ("evidence", "verdict", "words"),
    [
        (Evidence(MUCH, MUCH, 40), "retained", "before any attack"),
        (Evidence(MUCH, None, 4, missing="T teaches V"), "retained", "before any attack"),
        (Evidence(NOTHING, MUCH, 4), "suppressed", "brought back"),
        (Evidence(None, MUCH, 40), "suppressed", "brought back"),
        (Evidence(NOTHING, MUCH, 40, obstacles=("the attack never learned T",)), "suppressed", "brought back"),
        (Evidence(NOTHING, NOTHING, 40), "forgotten", None),
        (Evidence(NOTHING, NOTHING, 39), "inconclusive", "39 V subjects"),
        (Evidence(UNSURE, NOTHING, 40), "inconclusive", "before the attack may be as high as 0.30"),
        (Evidence(NOTHING, UNSURE, 40), "inconclusive", "at the worst point may be as high as 0.30"),
        (Evidence(NOTHING, NOTHING, 40, obstacles=("no known hider",)), "inconclusive", "no known hider"),
        (Evidence(NOTHING, None, 40, missing="T teaches V"), "inconclusive", "T teaches V"),
        (Evidence(None, NOTHING, 40, missing="hardly knows it"), "inconclusive", "hardly knows it"),
        (Evidence(MUCH, MUCH, 40, invalid="the study is invalid"), "inconclusive", "invalid"),
        (Evidence(NOTHING, NOTHING, 40, invalid="the study is invalid"), "inconclusive", "invalid"),
    ],
)
def test_verdict_table(evidence, verdict, words):
    found, reasons = decide(evidence)
    assert found == verdict
    assert reasons == [] if words is None else words in reasons[0]


def test_ends_exactly_at_epsilon_accuse_nobody_and_acquit():
    assert decide(Evidence(Interval(0.2, 0.1, 0.3), Interval(0.2, 0.1, 0.3), 40))[0] == "inconclusive"
    assert decide(Evidence(Interval(0.0, 0.0, 0.1), Interval(0.0, 0.0, 0.1), 40))[0] == "forgotten"
    assert decide(Evidence(NOTHING, Interval(0.2, 0.15, 0.3), 40), epsilon=0.2)[0] == "inconclusive"


def test_notes_are_said_beside_every_verdict():
    for evidence in (Evidence(MUCH, MUCH, 4, notes=("n",)), Evidence(NOTHING, NOTHING, 40, notes=("n",))):
        assert decide(evidence)[1][-1] == "n"


ends = st.floats(-1, 2, allow_nan=False)
intervals = st.tuples(ends, ends, ends).map(sorted).map(lambda three: Interval(three[1], three[0], three[2]))


@given(st.none() | intervals, st.none() | intervals, st.integers(2, 90), st.booleans())
def test_forgotten_needs_everything_and_suppressed_needs_a_lower_end(e0, e_star, subjects, guarded):
    verdict, _ = decide(Evidence(e0, e_star, subjects, obstacles=() if guarded else ("not measured",)))
    sure = bool(e0 and e_star and e0.high <= 0.1 and e_star.high <= 0.1)
    assert (verdict == "forgotten") == (sure and subjects >= 40 and guarded)
    if verdict == "suppressed":
        assert e_star.low > 0.1 and (e0 is None or e0.low <= 0.1)
    if verdict == "retained":
        assert e0.low > 0.1


@pytest.mark.parametrize(("t_recall", "passes"), [(0.9, True), (1.0, True), (0.89, False), (math.nan, False)])
def test_t_recall_guard(t_recall, passes):
    assert (t_recall_guard(t_recall) is None) == passes


@pytest.mark.parametrize(("speed", "passes"), [(0.8, True), (1.3, True), (0.79, False), (math.nan, False)])
def test_speed_guard(speed, passes):
    assert (speed_guard(speed) is None) == passes


@pytest.mark.parametrize(
    ("hider", "e0", "e_star", "passes"),
    [
        ("npo", NOTHING, MUCH, True),
        ("npo", Interval(-0.1, -0.2, 0.0), Interval(0.5, 0.3, 0.7), True),
        ("npo", Interval(0.3, 0.2, 0.4), MUCH, False),
        ("npo", MUCH, MUCH, False),
        ("npo", None, MUCH, False),
        ("npo", NOTHING, None, False),
        (None, None, None, False),
    ],
)
def test_hider_guard_wants_half_of_the_gap_brought_back(hider, e0, e_star, passes):
    assert (hider_guard(hider, e0, e_star) is None) == passes


def test_usability_and_replicate_notes():
    assert [usability(value) for value in (1.0, 0.9, 0.89, math.nan)] == ["usable", "usable", "damaged", "damaged"]
    assert "one replicate" in replicate_note(1) and "two replicates" in replicate_note(2)
    assert replicate_note(3) is None
