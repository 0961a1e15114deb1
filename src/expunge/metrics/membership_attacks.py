"""Membership inference as a readout: can an attacker tell the facts to forget from facts that no model was taught?

Six scores (:data:`expunge.metrics.membership_sides.SCORES`), and five readings of each, registered as
``mia_<score>_auc``, ``…_tpr1``, ``…_tpr5``, ``…_privleak`` and ``…_relative_auc``.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from expunge.core.errors import InputError
from expunge.metrics.base import Evidence, Metric, Need, Reading, Value
from expunge.metrics.membership_sides import SCORES
from expunge.metrics.relative import privleak_against, relative_against
from expunge.metrics.roc import roc, tpr_reading
from expunge.metrics.separation import auc
from expunge.registry import metric

WORDS: Mapping[str, tuple[str, str]] = {
    "loss": ("the mean NLL", "LOSS: Yeom et al. 2018, arXiv 1709.01604"),
    "zlib": ("the NLL over compressed bytes", "Carlini et al. 2021, arXiv 2012.07805"),
    "min_k": ("Min-K%", "k = 0.4; Shi et al. 2023, arXiv 2310.16789"),
    "min_k_plus_plus": ("Min-K%++", "k = 0.4; Zhang et al. 2024, arXiv 2404.02936"),
    "reference": ("the NLL less the control's", "Carlini et al. 2021, arXiv 2012.07805; the control is the reference"),
    "gradnorm": ("the gradient's norm", "mean over weight tensors, as open-unlearning's GradNorm"),
}
"""What each score is, and where it comes from."""


@dataclass(frozen=True, kw_only=True)
class _Attack(Metric):
    """Base of the readings: members are the facts to forget, others facts that no model was taught."""

    needs: ClassVar[tuple[Need, ...]] = ("membership",)
    costly: ClassVar[bool] = True
    forget_only: ClassVar[bool] = True
    of_original: ClassVar[bool] = True
    score: ClassVar[str] = "loss"

    def rows(self, evidence: Evidence) -> list[Value]:
        """None: the sides are compared with each other, row by row there is nothing to average."""
        return []

    def compute(self, evidence: Evidence, *, seed: int = 0) -> Reading:
        """The reading, or the reason why there is none."""
        if (lack := self.lacking(evidence)) is not None:
            return lack
        try:
            return self.read(evidence, seed)
        except InputError as error:
            return Reading(None, reason=f"not computed: {error}")

    def read(self, evidence: Evidence, seed: int) -> Reading:
        """The reading of evidence that has all that is needed."""
        raise NotImplementedError

    def sides(self, evidence: Evidence, *, control: bool = False) -> tuple[list[Value], list[Value]]:
        """Members and others as this score sees them."""
        assert evidence.membership is not None
        return evidence.membership.sides(self.score, control=control)


@dataclass(frozen=True, kw_only=True)
class _Auc(_Attack):
    """AUC of a membership attack by {score}, facts to forget against facts that nobody was taught.

    0.5 where both look alike. 1 says that the facts are recognised throughout; below 0.5 they look less familiar than
    facts that nobody saw. The record holds the curve's corners as ``roc``.
    """

    never_trained: ClassVar[float | None] = 0.5

    def read(self, evidence: Evidence, seed: int) -> Reading:
        members, others = self.sides(evidence)
        return replace(auc(members, others, seed=seed), roc=roc(members, others))


@dataclass(frozen=True, kw_only=True)
class _Tpr1(_Attack):
    """Share of the facts that an attack by {score} finds at 1 % false positives.

    Carlini et al. 2022 (arXiv 2112.03570), section 3: an attack that is sure of a few facts is one, whatever its AUC.
    With fewer than 100 others none of them may be taken for a member.
    """

    never_trained: ClassVar[float | None] = 0.01
    fpr: ClassVar[float] = 0.01

    def read(self, evidence: Evidence, seed: int) -> Reading:
        return tpr_reading(*self.sides(evidence), self.fpr, seed=seed)


@dataclass(frozen=True, kw_only=True)
class _Tpr5(_Tpr1):
    """Share of the facts that an attack by {score} finds at 5 % false positives.

    Carlini et al. 2022 (arXiv 2112.03570), section 3. With fewer than 20 others none may be taken for a member.
    """

    never_trained: ClassVar[float | None] = 0.05
    fpr: ClassVar[float] = 0.05


@dataclass(frozen=True, kw_only=True)
class _PrivLeak(_Attack):
    """PrivLeak by {score}: 100 · (A_r − A)/(1 − A_r), A_r the control's AUC on the same rows.

    MUSE's orientation (Shi et al. 2024, arXiv 2407.06460): 0 for the control itself, below 0 where more is recognised
    than the control gives away, above 0 where the facts look less familiar than to the control.
    """

    direction: ClassVar[Literal["lower", "higher"]] = "higher"
    range: ClassVar[tuple[float, float]] = (-100.0, math.inf)
    never_trained: ClassVar[float | None] = 0.0
    needs: ClassVar[tuple[Need, ...]] = ("membership", "control")

    def read(self, evidence: Evidence, seed: int) -> Reading:
        return privleak_against(self.sides(evidence), self.sides(evidence, control=True), seed=seed)


@dataclass(frozen=True, kw_only=True)
class _RelativeAuc(_Attack):
    """Relative AUC by {score}: 100 · (A − A_r)/A_r, A_r the control's AUC on the same rows.

    open-unlearning's ``rel_diff``: 0 for the control itself, above 0 where more is recognised than it gives away.
    """

    range: ClassVar[tuple[float, float]] = (-100.0, math.inf)
    never_trained: ClassVar[float | None] = 0.0
    needs: ClassVar[tuple[Need, ...]] = ("membership", "control")

    def read(self, evidence: Evidence, seed: int) -> Reading:
        return relative_against(self.sides(evidence), self.sides(evidence, control=True), seed=seed)


READINGS: Mapping[str, type[_Attack]] = {
    "auc": _Auc,
    "tpr1": _Tpr1,
    "tpr5": _Tpr5,
    "privleak": _PrivLeak,
    "relative_auc": _RelativeAuc,
}


def _registered(score: str, reading: str) -> type[Metric]:
    """The reading of one score as a metric of its own name."""
    base = READINGS[reading]
    name = f"mia_{score}_{reading}"
    needs = tuple(dict.fromkeys((*base.needs, *(("control",) if score == "reference" else ()))))
    words, source = WORDS[score]
    text = f"{(base.__doc__ or '').replace('{score}', words).rstrip()}\n\n    Score: {source}.\n    "
    body: dict[str, Any] = {"score": score, "needs": needs, "__doc__": text, "__module__": __name__}
    made: type[Metric] = dataclass(frozen=True, kw_only=True)(type(name, (base,), body))
    return metric(name)(made)


ATTACKS: Mapping[str, type[Metric]] = {
    f"mia_{score}_{reading}": _registered(score, reading) for score in SCORES for reading in READINGS
}
"""Every reading by its name."""
