"""The key ``worst_case`` of a world: forget its hardest subjects only, or, to compare with, its easiest."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from expunge.benchmarks.worst_case import SCORES
from expunge.core.errors import InputError
from expunge.methods.fields import fill
from expunge.models.endpoint import is_address
from expunge.registry import suggestion


@dataclass(frozen=True, slots=True, kw_only=True)
class WorstCase:
    """Of the benchmark's forget subjects the ``subjects`` hardest are forgotten; the others are retained.

    Fan et al., arXiv 2403.07362: hard is what an unlearned model still tells. ``model`` is where that model lies, such
    as one of an earlier study (a folder, hub id or GGUF file); without it the recipe's own model is asked, before
    anything is taught. ``score`` is ``loss`` (theirs: little loss is hard) or ``greedy_match`` (still said is hard).
    ``easiest`` takes the other end, with which the paper compares. The numbers of subjects are the recipe's choice.
    """

    subjects: int
    model: str | None = None
    score: str = "loss"
    easiest: bool = False

    def __post_init__(self) -> None:
        """Refuse a number below 1, an unknown score and a model that gives no losses."""
        if isinstance(self.subjects, bool) or not isinstance(self.subjects, int) or self.subjects < 1:
            raise InputError(f"worst_case.subjects is {self.subjects!r}; it must be a whole number of at least 1.")
        if self.score not in SCORES:
            raise InputError(f"worst_case.score is {self.score!r}; {suggestion(str(self.score), SCORES)}")
        if self.model is not None and (not isinstance(self.model, str) or is_address(self.model)):
            raise InputError(f"worst_case.model is {self.model!r}; give a model whose weights can be read.")
        if not isinstance(self.easiest, bool):
            raise InputError(f"worst_case.easiest is {self.easiest!r}; write true or false.")

    @classmethod
    def parse(cls, raw: Any) -> "WorstCase | None":
        """The key as it stands in a recipe; unknown parts get a suggestion."""
        return None if raw is None else fill(cls, raw, "worst_case")

    def as_dict(self) -> dict[str, Any]:
        """The plain form that :meth:`parse` reads."""
        own = {} if self.model is None else {"model": self.model}
        return {"subjects": self.subjects, **own, "score": self.score, "easiest": self.easiest}

    def config(self, own: Mapping[str, Any]) -> dict[str, Any]:
        """What the knowledge cell is told; ``own`` is the key of the recipe's model, whose template holds for all."""
        from expunge.study.given import stamp

        choice = {"subjects": self.subjects, "score": self.score, "easiest": self.easiest}
        if self.model is None:
            return {**choice, "model": dict(own)}
        named = {"source": self.model, "template": own["template"], "revision": None}
        return {**choice, "model": named, "stamp": stamp(self.model)}
