"""What the audit reads and writes. Shape suffixes: P attack points, S subjects of V, M replicates, B resamples."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from expunge.core.errors import InputError

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Role = Literal["original", "control", "null", "placebo", "method"]
BEFORE = "before"


@dataclass(frozen=True, slots=True)
class Interval:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float

    def contains(self, number: float) -> bool:
        """Whether the closed interval holds ``number``; ends that miss it by rounding alone count as holding it."""
        return self.low <= number + 1e-12 and self.high >= number - 1e-12

    def as_dict(self) -> dict[str, float]:
        """The ``iv`` object of audit.json."""
        return {"value": float(self.value), "low": float(self.low), "high": float(self.high)}


@dataclass(frozen=True, slots=True)
class Trajectories:
    """One model of one replicate under the whole attack grid.

    ``points`` are attack point ids, the first is ``before``. ``scores_PS`` is the mean primary score on V by
    subject, in [0, 1]. ``usable_P``, ``t_recall_P`` and ``utility_P`` belong to the points; NaN means not measured.
    The models of one replicate share their V subjects, in any order; other replicates have other subjects.
    A ``placebo`` row carries the label of the model that was attacked (a method's or the control's);
    its ``variant`` is ``subjects`` (new subjects with permuted answers, T half taught; ``t_recall_P`` is the
    recall of that half) or ``answers`` (permuted answers on the real V subjects).

    Raises :class:`InputError` when shapes disagree, a score is outside [0, 1] or there are fewer than two subjects.
    """

    label: str
    role: Role
    replicate: int
    subjects: tuple[str, ...]
    points: tuple[str, ...]
    scores_PS: Floats
    usable_P: Bools
    t_recall_P: Floats
    utility_P: Floats
    variant: str = ""

    def __post_init__(self) -> None:
        name = f"trajectories of {self.role} {self.label!r}, replicate {self.replicate}"
        if self.points[:1] != (BEFORE,):
            raise InputError(f"{name}: the first attack point must be {BEFORE!r}; score the model before the attack.")
        if len(set(self.points)) != len(self.points) or len(set(self.subjects)) != len(self.subjects):
            raise InputError(f"{name}: an attack point or a subject appears twice; give each once.")
        if len(self.subjects) < 2:
            raise InputError(f"{name}: {len(self.subjects)} V subject; two folds need at least 2, enlarge V.")
        if self.scores_PS.shape != (len(self.points), len(self.subjects)):
            raise InputError(f"{name}: scores_PS has shape {self.scores_PS.shape}, not (points, subjects).")
        if any(len(row) != len(self.points) for row in (self.usable_P, self.t_recall_P, self.utility_P)):
            raise InputError(f"{name}: usable_P, t_recall_P and utility_P need one entry a point.")
        if not np.all((self.scores_PS >= 0) & (self.scores_PS <= 1)):
            raise InputError(f"{name}: a score is missing or outside [0, 1]; rescore this model.")

    def sorted_scores_PS(self) -> Floats:
        """Scores with the subjects in name order, so that the order of the input never matters."""
        return self.scores_PS[:, np.argsort(np.array(self.subjects))]


@dataclass(frozen=True, slots=True)
class World:
    """What the audit passes through to its record, and what it cannot see in the trajectories.

    ``hider`` is the label of the method that is known to hide only (shallow NPO). ``placebo_speeds`` gives, by
    method, how fast it learns placebo facts relative to the control, where no placebo trajectories are given.
    ``baselines`` maps a method to the one that it is put beside (:mod:`expunge.audit.beside`).
    ``forget_metrics`` maps method → metric → ``iv``. ``utility_known`` is off where no original was at hand to measure
    utility against. ``in_text``: the models are seen in what they write alone (:mod:`expunge.audit.in_text`).
    """

    label: str = ""
    knowledge: str = ""
    seeds: tuple[int, ...] = ()
    num_t_subjects: int = 0
    to_forget: tuple[str, ...] = ()
    leaks: int = 0
    not_tested: tuple[str, ...] = ()
    hider: str | None = None
    placebo_speeds: Mapping[str, float] = field(default_factory=dict)
    baselines: Mapping[str, str] = field(default_factory=dict)
    forget_metrics: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    utility_known: bool = True
    in_text: bool = False
