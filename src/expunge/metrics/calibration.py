"""Does a model know what it knows? Confidence against being right, for answers given freely and for options picked.

Shapes: S subjects, B bins, R resamples.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from expunge.core.errors import InputError
from expunge.metrics.base import Evidence, Metric, Need, Reading, Value
from expunge.metrics.separation import Table
from expunge.registry import metric


@dataclass(frozen=True, slots=True)
class Sure:
    """One answer: how probable the model holds it to be, and whether it is right."""

    subject: str
    confidence: float
    hit: bool


def calibration_error(answers: Sequence[Sure], bins: int = 15, *, seed: int = 0, resamples: int = 2000) -> Reading:
    """Σ_b n_b/n · |share right in bin b − mean confidence in bin b|, bins of equal width on [0, 1].

    Guo et al. 2017 (arXiv 1706.04599), eq. 3; ``bins`` = 15 is theirs. The interval resamples subjects. With few
    answers a bin the value lies above the truth even for a calibrated model (Kumar et al. 2019, arXiv 1909.10155).
    """
    if not answers:
        raise InputError("there is no answer whose calibration could be read; ask some questions.")
    table_SB3 = _by_subject(answers, bins)
    stream, n = np.random.default_rng(seed), len(table_SB3)
    counts_RS = stream.multinomial(n, np.full(n, 1 / n), resamples)
    draws_R = _error(np.einsum("rs,sbk->rbk", counts_RS, table_SB3, optimize=True))
    value = float(_error(table_SB3.sum(0)[None])[0])
    low, high = (float(end) for end in np.quantile(draws_R, [0.025, 0.975]))
    return Reading(value, min(low, value), max(high, value), n)


def _by_subject(answers: Sequence[Sure], bins: int) -> Table:
    """Answers, hits and summed confidence of every subject and bin; a confidence of 1 is in the last bin."""
    subjects = {name: place for place, name in enumerate(dict.fromkeys(item.subject for item in answers))}
    table_SB3 = np.zeros((len(subjects), bins, 3))
    for item in answers:
        place = min(int(item.confidence * bins), bins - 1)
        table_SB3[subjects[item.subject], place] += (1.0, float(item.hit), item.confidence)
    return table_SB3


def _error(sums_RB3: Table) -> Table:
    """Per draw: |Σ hits − Σ confidence| of every bin, over all answers."""
    found: Table = np.abs(sums_RB3[..., 1] - sums_RB3[..., 2]).sum(1) / sums_RB3[..., 0].sum(1)
    return found


def brier_rows(answers: Sequence[Sure]) -> list[Value]:
    """(confidence − 1 if right, else 0)² of every answer (Brier 1950, for the answer given alone)."""
    return [Value(item.subject, (item.confidence - item.hit) ** 2) for item in answers]


@dataclass(frozen=True, kw_only=True)
class _Calibration(Metric):
    """Base: measured where it is asked for by name, as answers are generated and scored for it."""

    costly: ClassVar[bool] = True
    of_original: ClassVar[bool] = True

    def answers(self, evidence: Evidence) -> list[Sure]:
        """Every answer with its confidence."""
        raise NotImplementedError

    def rows(self, evidence: Evidence) -> list[Value]:
        """The squared distance of confidence and being right, an answer."""
        return brier_rows(self.answers(evidence))


@dataclass(frozen=True, kw_only=True)
class _Free(_Calibration):
    """The model's own greedy answers."""

    needs: ClassVar[tuple[Need, ...]] = ("own_answers",)

    def answers(self, evidence: Evidence) -> list[Sure]:
        """Confidence is the probability of the whole answer, right is the true answer token by token."""
        return [Sure(item.fact.subject, item.confidence, item.hit) for item in evidence.own_answers or ()]


@dataclass(frozen=True, kw_only=True)
class _Picked(_Calibration):
    """The options that the model picks."""

    needs: ClassVar[tuple[Need, ...]] = ("choices",)

    def answers(self, evidence: Evidence) -> list[Sure]:
        """Confidence is the picked option's share of all options' probability."""
        return [
            Sure(item.fact.subject, item.confidence, item.picked() == item.right) for item in evidence.choices or ()
        ]


@dataclass(frozen=True, kw_only=True)
class _Binned(_Calibration):
    """Base of the two expected calibration errors."""

    bins: int = 15

    def __post_init__(self) -> None:
        """Refuse a number of bins below 1."""
        if self.bins < 1:
            raise InputError(f"bins is {self.bins}; it must be at least 1.")

    def compute(self, evidence: Evidence, *, seed: int = 0) -> Reading:
        """The error over all answers; it is no mean over rows."""
        if (lack := self.lacking(evidence)) is not None:
            return lack
        answers = self.answers(evidence)
        if not answers:
            return Reading(None, reason="not computed: no row that this metric can judge.")
        return calibration_error(answers, self.bins, seed=seed)


@metric("calibration_error")
@dataclass(frozen=True, kw_only=True)
class CalibrationError(_Binned, _Free):
    """Expected calibration error of the model's own greedy answers.

    0: of the answers given with probability p the share p is right. 1: always sure and always wrong. A model that
    forgot and does not know it answers wrongly with confidence; one that hides what it knows may be either.
    ``bins`` = 15 is Guo et al.'s (arXiv 1706.04599).
    """


@metric("brier_score")
@dataclass(frozen=True, kw_only=True)
class BrierScore(_Free):
    """Mean squared distance of the probability of the model's own greedy answer from its being right (Brier 1950).

    0: sure and right throughout, 1: sure and wrong throughout; an answer of probability 0 that is wrong gives 0.
    """


@metric("choice_calibration_error")
@dataclass(frozen=True, kw_only=True)
class ChoiceCalibrationError(_Binned, _Picked):
    """Expected calibration error of the options that the model picks.

    Confidence is the picked option's share of all options' probability, so it is at least one over their number.
    ``bins`` = 15 is Guo et al.'s (arXiv 1706.04599).
    """


@metric("choice_brier_score")
@dataclass(frozen=True, kw_only=True)
class ChoiceBrierScore(_Picked):
    """Mean squared distance of the picked option's share of all options' probability from its being right.

    A model that prefers no option gives (1 − 1/k)²/k + (1/k)²·(1 − 1/k) at k options when it is right by chance.
    """
