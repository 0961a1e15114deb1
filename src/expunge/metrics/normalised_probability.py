"""The true answer's probability among given options."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from expunge.core.errors import InputError
from expunge.metrics.base import Evidence, Metric, Value
from expunge.metrics.truth_ratio import PARAPHRASED, PERTURBED, answers
from expunge.registry import metric


def share(right: float, wrong: Sequence[float], epsilon: float = 0.0) -> float:
    """P/(P + Σ P_j + ε) from mean NLLs a token; the largest probability is factored out, so nothing underflows."""
    least = min(right, *wrong)
    weights = [math.exp(least - nll) for nll in (right, *wrong)]
    return weights[0] / (math.fsum(weights) + epsilon * math.exp(min(least, 700.0)))


@metric("probability_normalised")
@dataclass(frozen=True, kw_only=True)
class NormalisedProbability(Metric):
    """Mean over questions of the answer's probability over that of the answer and all wrong answers together.

    TOFU (arXiv 2401.06121), section 2.2, for real authors and world facts; probabilities are normalised by length.
    ``epsilon`` is added to the denominator: 0 is ours, 1e-10 open-unlearning's. Reads what :class:`TruthRatio` reads.
    A model without preferences gives 1/(1 + number of wrong answers).
    """

    epsilon: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a negative epsilon."""
        if self.epsilon < 0:
            raise InputError(f"epsilon is {self.epsilon}; it must be 0 or more.")

    def rows(self, evidence: Evidence) -> list[Value]:
        """A share in [0, 1] a question with wrong answers."""
        scores, wrong = answers(evidence), dict[str, list[float]]()
        for item in scores:
            if item.probe.form == PERTURBED:
                wrong.setdefault(item.fact.id, []).append(item.score.nll_mean)
        asked = {
            item.fact.id: item
            for item in reversed(scores)
            if item.probe.form not in (PARAPHRASED, PERTURBED) and item.fact.id in wrong
        }
        return [
            Value(item.fact.subject, share(item.score.nll_mean, wrong[key], self.epsilon))
            for key, item in reversed(asked.items())
        ]
