"""Greedy match, the primary score."""

from dataclasses import dataclass
from typing import ClassVar

from expunge.metrics.base import Evidence, Metric, Value
from expunge.registry import metric


@metric("greedy_match")
@dataclass(frozen=True, kw_only=True)
class GreedyMatch(Metric):
    """Share of probes whose every label token is the model's argmax.

    It holds exactly when greedy decoding begins with the answer's tokens. Design, section Scoring.
    """

    never_trained: ClassVar[float | None] = 0.0
    proportion: ClassVar[bool] = True

    def rows(self, evidence: Evidence) -> list[Value]:
        """1 or 0 a probe."""
        return [Value(item.fact.subject, float(item.score.greedy)) for item in evidence.scores or ()]
