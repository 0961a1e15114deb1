"""Multiple choice as a metric of evaluate cells and of ``expunge evaluate``."""

from dataclasses import dataclass
from typing import ClassVar

from expunge.metrics.base import Evidence, Metric, Need, Value
from expunge.registry import metric


@metric("choice_accuracy")
@dataclass(frozen=True, kw_only=True)
class ChoiceAccuracy(Metric):
    """Share of questions whose right option has the largest summed log-likelihood: lm-eval's ``acc``.

    Of probes of form ``choice`` with wrong answers, else of the first form asked that has some. Chance, and what a
    model gives that never knew, is one over the number of options (0.25 in WMDP). Ties go to the wrong answer.
    """

    needs: ClassVar[tuple[Need, ...]] = ("choices",)
    proportion: ClassVar[bool] = True
    costly: ClassVar[bool] = True
    of_original: ClassVar[bool] = True

    def rows(self, evidence: Evidence) -> list[Value]:
        """1 or 0 a question."""
        return [Value(item.fact.subject, float(item.picked() == item.right)) for item in evidence.choices or ()]
