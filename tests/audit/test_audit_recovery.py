"""Recovery and bootstrap against their literal twins, and the properties that the two folds are there for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.audit.bootstrap import Plan, candidates, read
from expunge.audit.excess import Sample, excess
from expunge.audit.recovery import crossfit, fold_of
from expunge.audit.types import Trajectories
from expunge.core.errors import InputError
from reference.audit_recovery import excess as excess_twin
from reference.audit_recovery import recovery, resampled
from reference.audit_studies import POINTS, study, trajectories

ALL = np.ones(len(POINTS), dtype=bool)


def _parts(seed, subjects=9, replicates=3, **options):
    rows = study(np.random.default_rng(seed), subjects, replicates, **options)
    by_role = {role: [row for row in rows if row.role == role] for role in ("original", "control", "method")}
    return by_role["method"], by_role["control"], by_role["original"]


def _twin_scores(row):
    columns = sorted(range(len(row.subjects)), key=lambda index: row.subjects[index])
    return [[float(row.scores_PS[point, column]) for column in columns] for point in range(len(row.points))]


def _twin_folds(plan, position, row):
    fold_S, _ = plan.draw(position, row.subjects)
    return [index for index, first in enumerate(fold_S) if first], [i for i, first in enumerate(fold_S) if not first]


@pytest.mark.parametrize("seed", range(4))
def test_recovery_and_ratio_equal_the_literal_twin(seed):
    plan = Plan((0, 1, 2), 5, seed)
    readings, twins = [], []
    for rows in _parts(seed):
        readings.append(read(plan, rows, attacked=True))
        twins.append(
            [
                recovery(_twin_scores(row), *_twin_folds(plan, m, row), range(len(row.points)))
                for m, row in enumerate(rows)
            ]
        )
        assert readings[-1].values_M == pytest.approx([value for value, _ in twins[-1]])
        assert readings[-1].choices_M2.tolist() == [list(choices) for _, choices in twins[-1]]
    found = excess(*readings, Sample(plan.slots_BM, [9, 9, 9]))
    assert found is not None
    assert found.value == pytest.approx(excess_twin(*([value for value, _ in twin] for twin in twins)))


def test_every_resample_equals_the_literal_twin():
    rows, _, _ = _parts(1, subjects=7)
    plan = Plan((0, 1, 2), 40, 3)
    values_B = read(plan, rows, attacked=True).values_BM.mean(axis=1)
    scores, folds = [_twin_scores(row) for row in rows], [_twin_folds(plan, m, row) for m, row in enumerate(rows)]
    used = [0, 0, 0]
    for resample, slots in enumerate(plan.slots_BM.tolist()):
        draws = []
        for replicate in slots:
            weights = plan.draw(replicate, rows[replicate].subjects)[1][used[replicate]]
            used[replicate] += 1
            draws.append((replicate, [int(weight) for weight in weights]))
        assert values_B[resample] == pytest.approx(resampled(scores, folds, draws, range(len(POINTS))))


def test_resampling_keeps_fold_sizes_and_has_multinomial_moments():
    fold_S, weights_QS = Plan((0,), 4000, 0).draw(0, [f"s{index}" for index in range(10)])
    assert fold_S.sum() == 5
    assert np.all(weights_QS[:, fold_S].sum(axis=1) == 5) and np.all(weights_QS.sum(axis=1) == 10)
    assert weights_QS.mean(axis=0) == pytest.approx(np.ones(10), abs=0.06)
    assert weights_QS.var(axis=0) == pytest.approx(np.full(10, 1 - 1 / 5), abs=0.08)


def test_models_of_a_replicate_are_resampled_together_whatever_their_order():
    rows, control, _ = _parts(2)
    plan = Plan((0, 1, 2), 30, 0)
    backwards = [
        Trajectories(
            "twin",
            "control",
            row.replicate,
            row.subjects[::-1],
            row.points,
            row.scores_PS[:, ::-1],
            row.usable_P,
            row.t_recall_P,
            row.utility_P,
        )
        for row in rows
    ]
    assert np.array_equal(read(plan, rows, attacked=True).values_BM, read(plan, backwards, attacked=True).values_BM)
    assert not np.array_equal(read(plan, rows, attacked=True).values_BM, read(plan, control, attacked=True).values_BM)


def test_folds_depend_on_names_and_seed_only():
    names = [f"person {index}" for index in range(21)]
    first = dict(zip(names, fold_of(names, 5), strict=True))
    assert first == dict(zip(names[::-1], fold_of(names[::-1], 5), strict=True))
    assert sum(first.values()) == 10
    assert list(first.values()) != list(fold_of(names, 6))


def test_two_folds_report_no_luck_where_a_plain_maximum_does():
    rng = np.random.default_rng(0)
    held_out, maximum = [], []
    for _ in range(400):
        scores_PS = (rng.random((11, 20)) < 0.2).astype(float)
        fold_S = np.arange(20) < 10
        held_out.append(crossfit(scores_PS, fold_S, np.ones((1, 20)), ALL)[0][0])
        maximum.append(scores_PS.mean(axis=1).max())
    assert np.mean(maximum) > 0.3
    assert np.mean(held_out) == pytest.approx(0.2, abs=3 * 0.09 / 20)


def test_each_choice_is_scored_on_the_other_fold():
    scores_PS = np.array([[0, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0.5, 0.5]])
    value, choices = crossfit(scores_PS, np.array([True, True, False, False]), np.ones((1, 4)), np.ones(3, dtype=bool))
    assert choices.tolist() == [[1, 2]] and value.tolist() == [0.0]


def test_ties_go_to_the_earliest_point_and_rounding_makes_no_worst_point():
    third = 1 / 3
    scores_PS = np.array([[third, 2 * third, 1.0], [1.0, third, 2 * third]])
    _, choices = crossfit(np.hstack([scores_PS, scores_PS]), np.arange(6) < 3, np.ones((1, 6)), ALL[:2])
    assert choices.tolist() == [[0, 0]]


def test_candidates_before_only_usable_only_and_all():
    row = trajectories("m", "method", 0, np.zeros((4, 5)))
    row.usable_P[:] = [False, True, False, True]
    assert candidates(row, attacked=False, usable_only=False).tolist() == [True, False, False, False]
    assert candidates(row, attacked=True, usable_only=True).tolist() == [True, True, False, True]
    assert candidates(row, attacked=True, usable_only=False).all()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), order=st.randoms(use_true_random=False))
def test_excess_does_not_depend_on_subject_order(seed, order):
    plan = Plan((0, 1), 30, seed)

    def shuffled(row):
        columns = list(range(len(row.subjects)))
        order.shuffle(columns)
        names = tuple(row.subjects[column] for column in columns)
        return Trajectories(
            row.label,
            row.role,
            row.replicate,
            names,
            row.points,
            row.scores_PS[:, columns],
            row.usable_P,
            row.t_recall_P,
            row.utility_P,
        )

    models = _parts(seed, subjects=6, replicates=2)
    sample = Sample(plan.slots_BM, [6, 6])
    before = excess(*(read(plan, rows, attacked=True) for rows in models), sample)
    after = excess(*(read(plan, [shuffled(row) for row in rows], attacked=True) for rows in models), sample)
    assert before == after


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), subjects=st.integers(2, 30), replicates=st.integers(1, 3))
def test_equal_trajectories_give_exactly_zero(seed, subjects, replicates):
    plan = Plan(tuple(range(replicates)), 50, seed)
    _, control, original = _parts(seed, subjects, replicates, base=-1.0)
    same, source = read(plan, control, attacked=True), read(plan, original, attacked=False)
    found = excess(same, same, source, Sample(plan.slots_BM, [subjects] * replicates))
    assert found is None or (found.value == 0.0 and found.low <= 0.0 <= found.high)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"points": ("start", "qa/full/1/1")}, "must be 'before'"),
        ({"points": ("before", "before")}, "appears twice"),
        ({"subjects": ("a",), "scores_PS": np.zeros((2, 1))}, "two folds need"),
        ({"scores_PS": np.zeros((3, 2))}, "has shape"),
        ({"utility_P": np.ones(3)}, "one entry a point"),
        ({"scores_PS": np.full((2, 2), np.nan)}, "outside"),
    ],
)
def test_malformed_trajectories_are_one_clear_sentence(change, words):
    parts = {
        "label": "m",
        "role": "method",
        "replicate": 1,
        "subjects": ("a", "b"),
        "points": ("before", "qa/full/1/1"),
        "scores_PS": np.zeros((2, 2)),
        "usable_P": np.ones(2, dtype=bool),
        "t_recall_P": np.ones(2),
        "utility_P": np.ones(2),
    }
    with pytest.raises(InputError, match=words):
        Trajectories(**{**parts, **change})
