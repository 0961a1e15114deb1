"""PrivLeak in both orientations with an interval, from the rows of a model and of one that never saw the facts."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from expunge.metrics.base import Reading, Value
from expunge.metrics.privleak import privleak, relative_auc
from expunge.metrics.separation import Table, auc, auc_draws
from expunge.metrics.truth_ratio import PEER_EPSILON

Sides = tuple[Sequence[Value], Sequence[Value]]


def privleak_against(own: Sides, base: Sides, *, seed: int = 0) -> Reading:
    """100 · (A_r − A)/(1 − A_r), A the AUC of ``own`` and A_r that of ``base`` (:func:`privleak`)."""
    return _against(own, base, privleak, lambda a, r: ((1 - a) - (1 - r)) / (1 - r + PEER_EPSILON), 1.0, seed)


def relative_against(own: Sides, base: Sides, *, seed: int = 0) -> Reading:
    """100 · (A − A_r)/A_r (:func:`relative_auc`)."""
    return _against(own, base, relative_auc, lambda a, r: (a - r) / (r + PEER_EPSILON), 0.0, seed)


def _against(
    own: Sides,
    base: Sides,
    measure: Callable[[Reading, float | None], Reading],
    formula: Callable[[Table, Table], Table],
    undefined: float,
    seed: int,
) -> Reading:
    """Both models are read on the same rows, so subjects are resampled once for both."""
    found, other = auc(*own, seed=seed), auc(*base, seed=seed)
    if other.value == undefined:
        return Reading(None, reason=f"not computed: the control's AUC is {undefined:g}, the measure divides by zero.")
    value = measure(found, other.value).value
    assert value is not None
    draws_R = 100 * formula(auc_draws(*own, seed=seed), auc_draws(*base, seed=seed))
    low, high = (float(end) for end in np.quantile(draws_R, [0.025, 0.975]))
    return replace(found, value=value, low=min(low, value), high=max(high, value))
