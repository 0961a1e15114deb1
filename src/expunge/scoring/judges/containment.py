"""The plainest judge: the answer stands in the text as whole words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from expunge.registry import judge
from expunge.scoring.containment import contains
from expunge.scoring.judges.base import Case, Judge, Ruling


@judge("containment")
@dataclass(frozen=True, kw_only=True)
class ContainmentJudge(Judge):
    """The answer stands in the text as whole words, case, outer punctuation and spacing aside.

    It misses other wordings of the answer and takes a denial ("it is not Paris") for the answer; a placebo that is
    read in the same way has the same faults.
    """

    name: ClassVar[str] = "containment"
    family: ClassVar[str] = "words"

    def judged(self, cases: Sequence[Case]) -> list[Ruling]:
        """1 or 0."""
        found = (contains(case.text, case.answer) for case in cases)
        return [Ruling(hit, float(hit)) for hit in found]
