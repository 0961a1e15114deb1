"""Contrast: what a model still knows although it does not say it."""

from dataclasses import dataclass
from typing import ClassVar

from expunge.metrics.base import Evidence, Metric, Need, Value
from expunge.registry import metric


@metric("contrast")
@dataclass(frozen=True, kw_only=True)
class ContrastMetric(Metric):
    """Share of comparisons in which the true answer outranks another subject's answer; chance is one half.

    Design, section Recovery, "Contrast". See :func:`expunge.scoring.contrast.contrast`.
    """

    never_trained: ClassVar[float | None] = 0.5
    needs: ClassVar[tuple[Need, ...]] = ("contrasts",)
    proportion: ClassVar[bool] = True

    def rows(self, evidence: Evidence) -> list[Value]:
        """A share in [0, 1] a probe."""
        return [Value(item.fact.subject, item.wins) for item in evidence.contrasts or ()]
