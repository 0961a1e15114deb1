"""Generated answers as a judge of one's choice reads them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from expunge.metrics.base import Evidence, Metric, Need, Reading, Value
from expunge.registry import metric
from expunge.scoring.judges.base import Case, judge_of


@metric("judged")
@dataclass(frozen=True, kw_only=True)
class Judged(Metric):
    """Share of generated answers that give the true answer in the eyes of ``judge``.

    ``judge`` is the name of a registered judge (containment, rouge, embedding, llm) or a mapping of its name and
    parameters. Without one nothing is judged: a judge may cost money, so none is a default. What an ``llm`` judge was
    asked and said is kept by :func:`expunge.scoring.judges.ledger.kept_in`.
    """

    never_trained: ClassVar[float | None] = 0.0
    needs: ClassVar[tuple[Need, ...]] = ("scores", "generations")
    proportion: ClassVar[bool] = True

    judge: str | Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        """Refuse an unknown judge before anything is generated."""
        if self.judge is not None:
            judge_of(self.judge)

    def compute(self, evidence: Evidence, *, seed: int = 0) -> Reading:
        """As every metric; a reason where no judge was chosen."""
        if self.judge is None:
            return Reading(None, reason="not computed: no judge was chosen.")
        return super().compute(evidence, seed=seed)

    def rows(self, evidence: Evidence) -> list[Value]:
        """1 or 0 a probe that was asked."""
        assert self.judge is not None
        pairs = zip(evidence.scores or (), evidence.generations or (), strict=True)
        said = [(item, text) for item, text in pairs if text is not None]
        cases = [Case(item.score.key, item.probe.prompt, item.probe.answer, text) for item, text in said]
        rulings = zip(said, judge_of(self.judge).rule(cases), strict=True)
        return [Value(item.fact.subject, float(ruling.hit)) for (item, _), ruling in rulings]
