"""How well a membership score tells members from others."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from expunge.core.errors import InputError
from expunge.metrics.base import Reading, Value, clopper_pearson

Table = NDArray[np.float64]


def auc(members: Sequence[Value], others: Sequence[Value], *, seed: int = 0, resamples: int = 2000) -> Reading:
    """P(other > member) + ½ P(equal): 0.5 is chance, 1 says that members score lower throughout.

    The interval resamples subjects on both sides and reaches at least Clopper–Pearson's on the smaller number of
    subjects. :class:`InputError` for an empty side or a score that is not finite.
    """
    value = float(_wins(members, others).mean())
    n = min(len({item.subject for item in side}) for side in (members, others))
    draws = auc_draws(members, others, seed=seed, resamples=resamples)
    bounds = (*np.quantile(draws, [0.025, 0.975]).tolist(), *clopper_pearson(value * n, n))
    return Reading(value, min(*bounds, value), max(*bounds, value), n)


def auc_draws(members: Sequence[Value], others: Sequence[Value], *, seed: int = 0, resamples: int = 2000) -> Table:
    """The AUC of ``resamples`` draws of subjects on both sides.

    The same seed draws the same subjects whatever their scores are, so that two models read on the same rows can be
    compared draw by draw.
    """
    wins_MO = _wins(members, others)
    left_SM, right_SO = (_of_subject(side) for side in (members, others))
    return _resampled(left_SM @ wins_MO @ right_SO.T, left_SM.sum(1), right_SO.sum(1), seed, resamples)


def _wins(members: Sequence[Value], others: Sequence[Value]) -> Table:
    for name, values in (("member", members), ("other", others)):
        _check(name, values)
    low, high = (np.array([item.value for item in side]) for side in (members, others))
    found: Table = (high[None, :] > low[:, None]) + 0.5 * (high[None, :] == low[:, None])
    return found


def tpr_at_fpr(members: Sequence[Value], others: Sequence[Value], fpr: float = 0.01) -> float:
    """Largest share of members below a threshold that at most the share ``fpr`` of the others is below.

    Carlini et al. 2022 (arXiv 2112.03570), section 3; nothing is interpolated, and a tie is no detection.
    """
    if not 0 <= fpr <= 1:
        raise InputError(f"fpr is {fpr}; it is a share between 0 and 1.")
    for name, values in (("member", members), ("other", others)):
        _check(name, values)
    ranked = sorted(item.value for item in others)
    allowed = math.floor(fpr * len(ranked) + 1e-9)
    if allowed >= len(ranked):
        return 1.0
    return sum(item.value < ranked[allowed] for item in members) / len(members)


def _check(name: str, values: Sequence[Value]) -> None:
    if not values:
        raise InputError(f"there is no {name} row to tell apart; give both sets some rows.")
    for index, item in enumerate(values):
        if not math.isfinite(item.value):
            raise InputError(f"{name} row {index} ({item.subject}) has the score {item.value}; it must be finite.")


def _of_subject(values: Sequence[Value]) -> Table:
    """Which row belongs to which subject, as zeros and ones."""
    subjects = list(dict.fromkeys(item.subject for item in values))
    return np.array([[float(item.subject == subject) for item in values] for subject in subjects])


def _resampled(wins_ST: Table, left_S: Table, right_T: Table, seed: int, resamples: int) -> Table:
    """The AUC of ``resamples`` draws of subjects, with replacement on either side."""
    stream = np.random.default_rng(seed)
    left_RS, right_RT = (
        stream.multinomial(len(sizes), np.full(len(sizes), 1 / len(sizes)), resamples) for sizes in (left_S, right_T)
    )
    total_R = np.einsum("rs,st,rt->r", left_RS, wins_ST, right_RT, optimize=True)
    drawn: Table = total_R / ((left_RS @ left_S) * (right_RT @ right_T))
    return drawn
