"""The whole curve of an attack, and how many members it finds at few false alarms, with an interval.

Shapes: R resamples, S subjects, M members, O others.
"""

from collections.abc import Sequence

import numpy as np

from expunge.metrics.base import Reading, Value, clopper_pearson
from expunge.metrics.separation import Table, tpr_at_fpr

Point = tuple[float, float]


def roc(members: Sequence[Value], others: Sequence[Value]) -> tuple[Point, ...]:
    """The curve's corners (false positive rate, true positive rate), from (0, 0) to (1, 1); low scores say "member".

    A threshold says "member" up to and including its score, so a tie between the sides is a slanted step and the area
    under the straight lines is the AUC. Points inside a level or upright run are left out; nothing is lost with them.
    """
    low, high = (np.sort([item.value for item in side]) for side in (members, others))
    points: list[Point] = [(0.0, 0.0)]
    for threshold in np.unique(np.concatenate([low, high])):
        rates = (int(np.searchsorted(side, threshold, "right")) / len(side) for side in (high, low))
        points.append((next(rates), next(rates)))
    inner = zip(points, points[1:], points[2:], strict=False)
    return (points[0], *(point for before, point, after in inner if not _level(before, point, after)), points[-1])


def _level(before: Point, point: Point, after: Point) -> bool:
    return before[0] == point[0] == after[0] or before[1] == point[1] == after[1]


def tpr_reading(
    members: Sequence[Value], others: Sequence[Value], fpr: float, *, seed: int = 0, resamples: int = 2000
) -> Reading:
    """:func:`tpr_at_fpr` with a 95 % interval.

    Subjects are resampled on both sides, the threshold found anew each time; the interval reaches at least
    Clopper–Pearson's on the number of members' subjects.
    """
    value = tpr_at_fpr(members, others, fpr)
    n = len({item.subject for item in members})
    draws_R = _draws(members, others, fpr, seed, resamples)
    bounds = (*np.quantile(draws_R, [0.025, 0.975]).tolist(), *clopper_pearson(value * n, n))
    return Reading(value, min(*bounds, value), max(*bounds, value), n)


def _draws(members: Sequence[Value], others: Sequence[Value], fpr: float, seed: int, resamples: int) -> Table:
    """The rate in every resample: rows below the first other score that more than the share ``fpr`` reaches."""
    stream = np.random.default_rng(seed)
    low_M, weights_RM = _weighted(members, stream, resamples)
    high_O, weights_RO = _weighted(others, stream, resamples)
    passed_RO = weights_RO.cumsum(1) > fpr * weights_RO.sum(1, keepdims=True) + 1e-9
    caught_RM = np.concatenate([np.zeros((resamples, 1)), weights_RM.cumsum(1)], 1)
    below_O = np.append(np.searchsorted(low_M, high_O, "left"), len(low_M))
    first_R = np.where(passed_RO.any(1), passed_RO.argmax(1), len(high_O))
    found: Table = caught_RM[np.arange(resamples), below_O[first_R]] / caught_RM[:, -1]
    return found


def _weighted(values: Sequence[Value], stream: np.random.Generator, resamples: int) -> tuple[Table, Table]:
    """Scores in ascending order, and how often each is in every resample of subjects."""
    ranked = sorted(values, key=lambda item: item.value)
    subjects = {name: place for place, name in enumerate(dict.fromkeys(item.subject for item in values))}
    counts_RS = stream.multinomial(len(subjects), np.full(len(subjects), 1 / len(subjects)), resamples)
    places = [subjects[item.subject] for item in ranked]
    return np.array([item.value for item in ranked]), counts_RS[:, places].astype(float)
