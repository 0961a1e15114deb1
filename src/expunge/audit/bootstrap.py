"""Cluster bootstrap: resample replicates, then the subjects of each, and choose b* anew every time.

All models of a replicate that share subjects get the same resampled subjects (their scores are paired); a placebo's
own subjects are drawn apart. A subject keeps its fold, so a duplicate never sits on both sides of a choice.

Shape suffixes: B resamples, M replicates (slots of a resample), Q resamples of one replicate, S subjects, P points.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from expunge.audit.recovery import crossfit, fold_of, worst_point
from expunge.audit.types import Bools, Floats, Ints, Trajectories
from expunge.core.seeds import derive


@dataclass
class Plan:
    """Which replicates and subjects each resample holds: a pure function of seed, replicates and subject names."""

    replicates: tuple[int, ...]
    resamples: int
    seed: int
    slots_BM: Ints = field(init=False)
    _drawn: dict[tuple[int, tuple[str, ...]], tuple[Bools, Floats]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(derive(self.seed, "replicates", *self.replicates))
        self.slots_BM = rng.integers(len(self.replicates), size=(self.resamples, len(self.replicates)))

    def draw(self, position: int, subjects: Sequence[str]) -> tuple[Bools, Floats]:
        """First-fold mask and subject weights ``[Q, S]`` of a replicate, Q being how often its slot was drawn."""
        key = position, tuple(sorted(subjects))
        if key not in self._drawn:
            self._drawn[key] = self._fresh(*key)
        return self._drawn[key]

    def _fresh(self, position: int, subjects: tuple[str, ...]) -> tuple[Bools, Floats]:
        seed = derive(self.seed, "replicate", self.replicates[position])
        fold_S = fold_of(subjects, seed)
        rng = np.random.default_rng(derive(seed, "subjects", *self.replicates, *subjects))
        weights_QS = np.zeros((int(np.sum(self.slots_BM == position)), len(subjects)))
        for side_S in (fold_S, ~fold_S):
            size = int(side_S.sum())
            weights_QS[:, side_S] = rng.multinomial(size, np.full(size, 1 / size), size=len(weights_QS))
        return fold_S, weights_QS


@dataclass(frozen=True, slots=True)
class Reading:
    """Mean score on V at b*: by replicate, by resampled slot, and the points chosen (two a replicate)."""

    values_M: Floats
    values_BM: Floats
    choices_M2: Ints
    worst_M: Ints

    @property
    def value(self) -> float:
        """Mean over replicates."""
        return float(self.values_M.mean())


def read(plan: Plan, rows: Sequence[Trajectories], *, attacked: bool, usable_only: bool = False) -> Reading:
    """One model's score before the attack, or (``attacked``) at its worst point; ``rows`` follow plan.replicates.

    With ``usable_only`` an attack point that ruined the model is no candidate; ``before`` always is one.
    """
    values_M, choices_M2 = np.zeros(len(rows)), np.zeros((len(rows), 2), dtype=np.int64)
    worst_M, values_BM = np.zeros(len(rows), dtype=np.int64), np.zeros(plan.slots_BM.shape)
    for position, row in enumerate(rows):
        scores_PS, candidates_P = row.sorted_scores_PS(), candidates(row, attacked=attacked, usable_only=usable_only)
        fold_S, weights_QS = plan.draw(position, row.subjects)
        point, choices = crossfit(scores_PS, fold_S, np.ones((1, len(fold_S))), candidates_P)
        values_M[position], choices_M2[position] = point[0], choices[0]
        worst_M[position] = worst_point(scores_PS, candidates_P)
        values_BM[plan.slots_BM == position] = crossfit(scores_PS, fold_S, weights_QS, candidates_P)[0]
    return Reading(values_M, values_BM, choices_M2, worst_M)


def candidates(row: Trajectories, *, attacked: bool, usable_only: bool) -> Bools:
    """Mask of the points among which b* is chosen."""
    mask_P = np.asarray(row.usable_P, dtype=bool).copy() if usable_only else np.ones(len(row.points), dtype=bool)
    if not attacked:
        mask_P[:] = False
    mask_P[0] = True
    return mask_P
