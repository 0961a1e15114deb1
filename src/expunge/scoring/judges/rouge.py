"""A judge that counts how much of the answer's words come in order."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

from expunge.registry import judge
from expunge.scoring.containment import contains
from expunge.scoring.judges.base import Case, Judge, Ruling, check_threshold


@judge("rouge")
@dataclass(frozen=True, kw_only=True)
class RougeJudge(Judge):
    """ROUGE-L recall of the answer in the text reaches ``threshold``.

    Lin 2004: longest common subsequence of Porter-stemmed words over the answer's words. ``threshold`` 0.7 (our
    choice: an answer of up to three words must come whole). An answer without a–z or 0–9, which the ``rouge_score``
    package cannot read, is judged by containment.
    """

    name: ClassVar[str] = "rouge"
    paper: ClassVar[str] = "Lin 2004, ROUGE"
    family: ClassVar[str] = "words"

    threshold: float = 0.7

    def __post_init__(self) -> None:
        """Refuse thresholds at which every text, or none, would be a hit."""
        check_threshold(self.name, self.threshold)

    def judged(self, cases: Sequence[Case]) -> list[Ruling]:
        """The recall and whether it is enough."""
        scores = [_recall(case) for case in cases]
        return [Ruling(score >= self.threshold - 1e-9, score) for score in scores]


def _recall(case: Case) -> float:
    if not any(char.isascii() and char.isalnum() for char in case.answer):
        return float(contains(case.text, case.answer))
    return float(_scorer().score(case.answer, case.text)["rougeL"].recall)


@cache
def _scorer() -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rougeL"], use_stemmer=True)
