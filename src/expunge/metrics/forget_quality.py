"""Forget quality: can the truth ratios be told from those of a model that never saw the forget set?"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from expunge.core.errors import InputError
from expunge.metrics.base import Evidence, Metric, Need, Reading
from expunge.metrics.truth_ratio import sides
from expunge.registry import metric


def forget_quality(model: Sequence[float], retain: Sequence[float] | None, *, why: str = "") -> Reading:
    """p-value of the two-sided, two-sample Kolmogorov–Smirnov test on truth ratios.

    TOFU (arXiv 2401.06121), section 2.2. The test reads ranks only, so ratios and their logarithms give the same value.
    ``retain`` are the ratios of the retrained model; without them there is no value, for the reason ``why``. Not
    comparable between forget sets of different sizes: the least possible value is :func:`least_quality`.
    """
    if retain is None:
        return Reading(None, reason=f"not computed: {why or 'the results of a retrained model are not at hand'}.")
    for name, values in (("model", model), ("retrained model", retain)):
        if not values or any(math.isnan(value) for value in values):
            row = next((str(n) for n, value in enumerate(values) if math.isnan(value)), "any")
            raise InputError(f"the truth ratio of the {name} at row {row} is missing; score that model again.")
    from scipy.stats import ks_2samp

    return Reading(float(ks_2samp(model, retain).pvalue), n=len(model))


def least_quality(n: int, m: int) -> float:
    """p-value of two samples that do not overlap, 2/C(n + m, n): below it no sample of this size can fall."""
    return 2 / math.comb(n + m, n)


@metric("forget_quality")
@dataclass(frozen=True, kw_only=True)
class ForgetQuality(Metric):
    """p-value of the Kolmogorov–Smirnov test between this model's truth ratios and those of one that never knew.

    TOFU (arXiv 2401.06121), section 2.2. High where the two cannot be told apart, which few questions make easy:
    compare it between models of one world only. It has no interval.
    """

    direction: ClassVar[Literal["lower", "higher"]] = "higher"
    needs: ClassVar[tuple[Need, ...]] = ("wrong_answers", "control")
    costly: ClassVar[bool] = True
    forget_only: ClassVar[bool] = True

    def compute(self, evidence: Evidence, *, seed: int = 0) -> Reading:
        """The p-value; the control is scored on the same questions."""
        if (lack := self.lacking(evidence)) is not None:
            return lack
        assert evidence.wrong_answers is not None
        own, never = (
            [pair.log_ratio for pair in sides(evidence.wrong_answers.scored(control=control))]
            for control in (False, True)
        )
        return forget_quality(own, never)
