"""Retain KL: how far the model moved where it should not."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from expunge.metrics.base import Evidence, Metric, Need, Value
from expunge.registry import metric


@metric("retain_kl")
@dataclass(frozen=True, kw_only=True)
class RetainKL(Metric):
    """Mean KL(θ₀‖θ) at the label tokens of held-out retain probes, in nats; 0 for the original itself.

    The release budget of the design, section Utility. Token-weighted: long answers count for their length.
    """

    direction: ClassVar[Literal["lower", "higher"]] = "lower"
    range: ClassVar[tuple[float, float]] = (0.0, float("inf"))
    needs: ClassVar[tuple[Need, ...]] = ("scores", "divergences")

    def rows(self, evidence: Evidence) -> list[Value]:
        """A mean KL a probe, weighted by its label tokens."""
        pairs = zip(evidence.scores or (), evidence.divergences or (), strict=True)
        return [Value(item.fact.subject, row.mean, len(row.values)) for item, row in pairs]
