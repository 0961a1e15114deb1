"""How far the weights went from the original's, and whether a ridge lies on the straight line between the two."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from expunge.core.errors import InputError
from expunge.metrics.base import Evidence, Metric, Need, Reading, Value
from expunge.registry import metric
from expunge.scoring.landscape import barrier, distance


@dataclass(frozen=True, kw_only=True)
class _OfWeights(Metric):
    """Base of the two: one number a pair of models, without an interval over subjects."""

    direction: ClassVar[Literal["lower", "higher"]] = "higher"
    range: ClassVar[tuple[float, float]] = (0.0, math.inf)

    def rows(self, evidence: Evidence) -> list[Value]:
        """None: this compares models, not rows."""
        return []

    def compute(self, evidence: Evidence, *, seed: int = 0) -> Reading:
        """The number, as both ends of its interval too."""
        if (lack := self.lacking(evidence)) is not None:
            return lack
        try:
            value = self.measure(evidence)
        except InputError as error:
            return Reading(None, reason=f"not computed: {error}")
        if not math.isfinite(value):
            return Reading(None, reason="not computed: a model on the way says something that is not a number.")
        return Reading(value, value, value, 1)

    def measure(self, evidence: Evidence) -> float:
        """The number itself."""
        raise NotImplementedError


@metric("weight_distance")
@dataclass(frozen=True, kw_only=True)
class WeightDistance(_OfWeights):
    """‖θ − θ₀‖₂ ÷ ‖θ₀‖₂ over all weights; 0 for the original itself.

    "From Dormant to Deleted" (arXiv 2505.22310): what went further from the original relearns less. A never-trained
    model's distance is that of another training run.
    """

    needs: ClassVar[tuple[Need, ...]] = ("model", "original")
    forget_only: ClassVar[bool] = True

    def measure(self, evidence: Evidence) -> float:
        """Over all weights, each tied tensor once."""
        assert evidence.model is not None and evidence.original is not None
        return distance(evidence.model.view(), evidence.original.view())


@metric("barrier")
@dataclass(frozen=True, kw_only=True)
class Barrier(_OfWeights):
    """The ridge on the straight line to the original, in nats a label token; 0 where the loss never rises.

    Linear mode connectivity (Frankle et al., arXiv 1912.05671, section 2), read on the probes of the set: on the facts
    to forget, and as ``retain_eval.barrier`` on those to keep. 2505.22310 finds that models with a ridge relearn less.
    """

    needs: ClassVar[tuple[Need, ...]] = ("asked", "model", "original")
    costly: ClassVar[bool] = True

    def measure(self, evidence: Evidence) -> float:
        """Reads the line at three points between its ends."""
        assert evidence.model is not None and evidence.original is not None and evidence.asked is not None
        rows = [item.row for item in evidence.asked]
        return barrier(evidence.model.view(), evidence.original.view(), rows)
