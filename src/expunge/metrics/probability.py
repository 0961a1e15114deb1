"""Answer probability."""

from dataclasses import dataclass

from expunge.metrics.base import Evidence, Metric, Value
from expunge.registry import metric


@metric("probability")
@dataclass(frozen=True, kw_only=True)
class Probability(Metric):
    """Mean over probes of exp(−mean label NLL), the end token included where it is a label.

    TOFU (arXiv 2401.06121), section 2.2: probability normalised by answer length.
    """

    def rows(self, evidence: Evidence) -> list[Value]:
        """A probability in [0, 1] a probe."""
        return [Value(item.fact.subject, item.score.probability) for item in evidence.scores or ()]
