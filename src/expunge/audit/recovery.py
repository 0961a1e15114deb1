"""Recovery R_m(b): mean score on V after attack point b, with the worst point b* chosen without looking.

Choosing and scoring b* on the same subjects reports luck as recovery: of many equal points the luckiest wins. So V
is cut in two folds; b* is chosen on one, scored on the other, swapped, and the two are averaged by size.

Shape suffixes: P attack points, S subjects (in name order), Q resamples of one replicate.
"""

from collections.abc import Sequence

import numpy as np

from expunge.audit.types import Bools, Floats, Ints
from expunge.core.seeds import derive


def fold_of(subjects: Sequence[str], seed: int) -> Bools:
    """First-fold mask of ``subjects``: half of them, by a hash of name and seed, whatever their order."""
    ranks = np.argsort(np.argsort([derive(seed, "fold", subject) for subject in subjects]))
    return np.asarray(ranks < len(subjects) // 2)


def chosen(totals_QP: Floats, candidates_P: Bools) -> Ints:
    """Index of the worst candidate point a row; ties, also those apart by rounding only, go to the first point."""
    return np.asarray(np.where(candidates_P, np.round(totals_QP, 9), -np.inf).argmax(axis=1))


def crossfit(scores_PS: Floats, fold_S: Bools, weights_QS: Floats, candidates_P: Bools) -> tuple[Floats, Ints]:
    """Mean held-out score at b* for each row of subject weights, and the two chosen points ``[Q, 2]``.

    Column 0 of the choices was made on the first fold (and scored on the second). Every row of weights must
    sum to the number of subjects within each fold.
    """
    first_QP = weights_QS[:, fold_S] @ scores_PS[:, fold_S].T
    second_QP = weights_QS[:, ~fold_S] @ scores_PS[:, ~fold_S].T
    choices_Q2 = np.stack([chosen(first_QP, candidates_P), chosen(second_QP, candidates_P)], axis=1)
    rows_Q = np.arange(len(weights_QS))
    held_out_Q = second_QP[rows_Q, choices_Q2[:, 0]] + first_QP[rows_Q, choices_Q2[:, 1]]
    return held_out_Q / scores_PS.shape[1], choices_Q2


def worst_point(scores_PS: Floats, candidates_P: Bools) -> int:
    """Index of the worst candidate point on all of V; for display, never for scoring."""
    return int(chosen(scores_PS.sum(axis=1)[None], candidates_P)[0])
