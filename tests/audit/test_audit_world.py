"""Whole audits: the audit.json entry, the guards at work, controls and the edge of the grid."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.audit.audit import assemble, audit
from expunge.audit.controls import learning_speed
from expunge.audit.grid import edges, parse
from expunge.audit.types import World
from expunge.core.errors import InputError
from reference.audit_studies import POINTS, study, trajectories

IV = {"value", "low", "high"}
PASSED = World(hider="hider", placebo_speeds={"perfect": 1.0, "hider": 1.0})


def _constant(label, role, replicate, levels, subjects=40, **options):
    scores_PS = np.repeat(np.asarray(levels, dtype=float)[:, None], subjects, axis=1)
    return trajectories(label, role, replicate, scores_PS, **options)


def _world(replicates=1, subjects=40, **perfect):
    """Original knows all, controls nothing, ``perfect`` nothing either, ``hider`` shows all under attack."""
    rows = []
    for replicate in range(replicates):
        rows += [
            _constant("original", "original", replicate, [1.0], subjects),
            _constant("control", "control", replicate, [0.0] * 11, subjects),
            _constant("second", "null", replicate, [0.0] * 11, subjects),
            _constant("perfect", "method", replicate, [0.0] * 11, subjects, **perfect),
            _constant("hider", "method", replicate, [0.0] + [0.9] * 10, subjects),
        ]
    return rows


def _of(rows, world=PASSED, label="perfect", **options):
    entry = audit(rows, world, resamples=100, **options).as_dict()
    return next(method for method in entry["methods"] if method["label"] == label), entry


def test_entry_has_exactly_the_schema_and_is_json():
    result = audit(_world(2), replace(PASSED, label="w", seeds=(1, 2), to_forget=("a",)), resamples=50)
    record = json.loads(json.dumps(assemble([result], resamples=50), allow_nan=False))
    assert set(record) == {"schema", "epsilon", "resamples", "worlds"}
    (entry,) = record["worlds"]
    assert set(entry) == {
        "label",
        "knowledge",
        "seeds",
        "num_v_subjects",
        "num_t_subjects",
        "to_forget",
        "leaks",
        "original",
        "control",
        "null",
        "methods",
        "curves",
        "not_tested",
    }
    assert entry["num_v_subjects"] == 80 and set(entry["original"]) == IV
    assert set(entry["control"]) == {"before", "after", "kind", "worst_points"}
    assert entry["control"]["kind"] == "never-trained" and entry["control"]["worst_points"] == ["before", "before"]
    assert set(entry["null"]) == {"e_star", "valid", "reason"} and entry["null"]["valid"] is True
    for method in entry["methods"]:
        assert set(method) == {
            "label",
            "verdict",
            "usability",
            "reasons",
            "before",
            "after",
            "e0",
            "e_star",
            "worst_points",
            "utility_before",
            "utility_after",
            "t_recall",
            "speed",
            "attacks",
            "winning_attack",
            "forget_metrics",
        }
    curve = next(curve for curve in entry["curves"] if curve["label"] == "hider" and curve["lr"] == 1e-4)
    assert curve["steps"] == [0, 1, 2, 4, 8, 16] and curve["mean"] == pytest.approx([0, *[0.9] * 5])
    assert len(curve["low"]) == len(curve["high"]) == len(curve["utility"]) == 6
    assert {curve["role"] for curve in entry["curves"]} == {"control", "null", "method"}


def test_perfect_is_forgotten_and_the_hider_is_suppressed_and_the_original_retained():
    same = [replace(row, label="nothing done", role="method") for row in _world() if row.role == "original"]
    verdicts = audit([*_world(), *same], PASSED, resamples=100).verdicts()
    assert verdicts == {"perfect": "forgotten", "hider": "suppressed", "nothing done": "retained"}


@pytest.mark.parametrize(
    ("world", "changes", "words"),
    [
        (replace(PASSED, hider=None), {}, "no known hider"),
        (replace(PASSED, hider="perfect"), {}, "recovered the known hider"),
        (replace(PASSED, placebo_speeds={}), {}, "placebo learning was not measured"),
        (replace(PASSED, placebo_speeds={"perfect": 0.5}), {}, "0.50 of the control's speed"),
        (PASSED, {"t_recall": 0.5}, "never learned T"),
        (PASSED, {"t_recall": math.nan}, "T-recall was not measured"),
        (PASSED, {"subjects": 30}, "30 V subjects"),
    ],
)
def test_each_missing_guard_alone_turns_forgotten_into_inconclusive(world, changes, words):
    method, _ = _of(_world(**changes), world)
    assert method["verdict"] == "inconclusive" and any(words in reason for reason in method["reasons"])


def test_few_subjects_with_nothing_recovered_are_not_certain():
    method, _ = _of(_world(subjects=10))
    assert method["e_star"]["value"] == 0.0 and method["e_star"]["high"] == pytest.approx(1 - 0.025**0.1)


def test_the_null_row_can_void_the_study_and_its_absence_forbids_forgotten():
    rows = [row for row in _world() if row.role != "null"]
    assert "null row is missing" in " ".join(_of(rows)[0]["reasons"])
    broken = [*rows, _constant("second", "null", 0, [0.5] * 11)]
    method, entry = _of(broken)
    assert entry["null"]["valid"] is False and "invalid" in entry["null"]["reason"]
    assert {method["verdict"] for method in entry["methods"]} == {"inconclusive"}
    assert "invalid" in method["reasons"][0]


def test_denominators_below_three_tenths_have_their_sentence():
    rows = _world()
    weak = [_constant("original", "original", 0, [0.25]) if row.role == "original" else row for row in rows]
    method, entry = _of(weak)
    assert method["e0"] is None and method["e_star"] is None and "hardly knows" in method["reasons"][0]
    taught = [
        _constant(row.label, row.role, 0, [0.0] + [0.8] * 10) if row.role in ("control", "null") else row
        for row in rows
    ]
    method, entry = _of(taught)
    assert method["e0"] is not None and method["e_star"] is None and "T teaches V" in method["reasons"][0]
    assert entry["null"]["valid"] is None
    edge = [_constant("original", "original", 0, [0.3]) if row.role == "original" else row for row in rows]
    assert _of(edge)[0]["e_star"] is not None


def test_without_original_or_control_there_is_absolute_recovery_only():
    for missing, words in (("original", "absolute recovery"), ("control", "no control")):
        method, entry = _of([row for row in _world() if row.role != missing])
        assert method["verdict"] == "inconclusive" and words in " ".join(method["reasons"])
        assert method["e_star"] is None and set(method["after"]) == IV
    assert entry["control"] == {"before": None, "after": None, "kind": "none", "worst_points": []}


def test_the_harder_placebo_counts_and_small_ones_do_not():
    rows = [row for row in _world() if row.role not in ("control", "null")]
    own = trajectories("hider", "placebo", 0, np.full((11, 12), 0.3), variant="subjects")
    real = _constant("hider", "placebo", 0, [0.0] * 11, variant="answers")
    method, entry = _of([*rows, own, real], label="hider")
    assert entry["control"]["kind"] == "placebo" and method["verdict"] == "suppressed"
    assert method["e_star"]["value"] == pytest.approx(0.9)
    method, _ = _of([*rows, own], label="hider")
    assert method["e_star"]["value"] == pytest.approx(0.6 / 0.7)
    small = trajectories("hider", "placebo", 0, np.zeros((11, 7)), variant="subjects")
    method, _ = _of([*rows, small], label="hider")
    assert method["e_star"] is None and "fewer than 8" in " ".join(method["reasons"])


def test_placebos_alone_can_acquit_and_without_the_originals_they_cannot():
    """An innocent without any never-trained model: nothing comes back, and it learns nearly as fast as the original."""
    rows = [row for row in _world() if row.role not in ("control", "null")]
    placebos = [
        trajectories(label, "placebo", 0, np.zeros((11, 20)), variant="subjects")
        for label in ("perfect", "hider", "original")
    ]
    for row, top in zip(placebos, (0.6, 1.0, 1.0), strict=True):
        row.t_recall_P[:] = np.linspace(0, top, 11)
    found = World(hider="hider")
    method, entry = _of([*rows, *placebos], found)
    assert method["verdict"] == "forgotten" and entry["control"]["kind"] == "placebo"
    assert _of([*rows, *placebos], found, label="hider")[0]["verdict"] == "suppressed"
    method, _ = _of([*rows, *placebos[:2]], found)
    assert method["verdict"] == "inconclusive" and "placebo learning was not measured" in method["reasons"][0]


def test_worst_point_may_be_limited_to_usable_points():
    rows = _world()
    hider = next(row for row in rows if row.label == "hider")
    hider.usable_P[1:] = False
    assert _of(rows, label="hider")[0]["verdict"] == "suppressed"
    assert _of(rows, replace(PASSED, hider=None), label="hider", usable_only=True)[0]["e_star"]["value"] == 0.0


def test_edges_are_reported_and_noted():
    rows = [row for row in _world() if row.label != "hider"]
    rising = _constant("hider", "method", 0, [0.0, *[0.1] * 9, 0.9])
    result = audit([*rows, rising], PASSED, resamples=50)
    assert result.edges == {"perfect": (), "hider": ("steps", "lr")}
    method = _of([*rows, rising], label="hider")[0]
    assert method["worst_points"] == ["qa/full/0.0001/16"]
    assert any("edge of the grid (steps and lr)" in reason for reason in method["reasons"])


def test_edge_of_the_grid_is_within_source_and_access():
    points = [*POINTS, "prose/lora/0.001/64"]
    assert edges("before", points) == () and edges("qa/full/1e-05/8", points) == ()
    assert edges("qa/full/1e-05/16", points) == ("steps",) and edges("qa/full/0.0001/2", points) == ("lr",)
    assert parse("a/b/1e-05/8").line == ("a", "b", 1e-5)
    with pytest.raises(InputError, match="source/access/lr/steps"):
        parse("qa/full/8")


def test_contradicting_trajectories_are_refused():
    rows = _world()
    with pytest.raises(InputError, match="different V subjects"):
        audit([*rows, _constant("other", "method", 0, [0.0], subjects=9)], PASSED)
    with pytest.raises(InputError, match="appears twice"):
        audit([*rows, rows[-1]], PASSED)
    with pytest.raises(InputError, match="have the role control"):
        audit([*rows, replace(rows[1], label="c2")], PASSED)
    with pytest.raises(InputError, match="no method"):
        audit(rows[:3], PASSED)
    with pytest.raises(InputError, match="is no method of this world"):
        audit(rows, replace(PASSED, hider="npo"))


def test_replicates_are_counted_and_a_missing_one_is_named():
    assert any("one replicate" in reason for reason in _of(_world(1))[0]["reasons"])
    rows = [row for row in _world(3) if not (row.label == "perfect" and row.replicate == 1)]
    method, entry = _of(rows)
    assert any("[1] are left out" in reason for reason in method["reasons"])
    assert len(method["worst_points"]) == 2 and entry["num_v_subjects"] == 120


def test_the_answer_does_not_depend_on_the_order_of_rows_and_is_seeded():
    rows = study(np.random.default_rng(5), 12, 2, base=-1.0)
    one, other = (audit(order, World(), resamples=60, seed=4).as_dict() for order in (rows, rows[::-1]))
    assert one == other != audit(rows, World(), resamples=60, seed=5).as_dict()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), subjects=st.integers(2, 50), replicates=st.integers(1, 3), silent=st.booleans())
def test_a_perfect_forgetter_is_never_called_suppressed(seed, subjects, replicates, silent):
    rows = [row for row in study(np.random.default_rng(seed), subjects, replicates, base=0.0) if row.role != "method"]
    perfect = [
        replace(row, label="perfect", role="method", scores_PS=row.scores_PS * (0.0 if silent else 1.0))
        for row in rows
        if row.role == "control"
    ]
    assert audit([*rows, *perfect], World(), resamples=40).verdicts()["perfect"] in ("forgotten", "inconclusive")


def test_learning_speed_is_the_ratio_of_areas():
    control = {0: _constant("control", "placebo", 0, [0.0] * 6, t_recall=0.0)}
    slow = {0: _constant("m", "placebo", 0, [0.0] * 6, t_recall=0.0)}
    control[0].t_recall_P[:] = [0, 0.2, 0.4, 0.6, 0.8, 1.0]
    slow[0].t_recall_P[:] = [0, 0.1, 0.2, 0.3, 0.4, 0.5]
    assert learning_speed(control, control) == 1.0 and learning_speed(slow, control) == pytest.approx(0.5)
    control[0].t_recall_P[:] = 0.0
    assert math.isnan(learning_speed(slow, control)) and math.isnan(learning_speed(slow, {}))


def test_placebo_speed_comes_from_the_placebo_trajectories():
    rows = _world()
    taught = [_constant(label, "placebo", 0, [0.0] * 11, 12, variant="subjects") for label in ("perfect", "control")]
    for row, top in zip(taught, (0.3, 1.0), strict=True):
        row.t_recall_P[:] = np.linspace(0, top, 11)
    method, _ = _of([*rows, *taught], replace(PASSED, placebo_speeds={}))
    assert method["speed"] == pytest.approx(0.3)
    assert any("0.30 of the control's speed" in reason for reason in method["reasons"])
