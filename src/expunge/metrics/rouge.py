"""ROUGE-L recall of generated answers."""

from dataclasses import dataclass
from typing import ClassVar

from expunge.metrics.base import Evidence, Metric, Need, Value
from expunge.registry import metric


@metric("rouge_l_recall")
@dataclass(frozen=True, kw_only=True)
class RougeLRecall(Metric):
    """Mean ROUGE-L recall: longest common subsequence with the answer, over the answer's words, Porter-stemmed.

    Lin 2004 (ROUGE), as TOFU (arXiv 2401.06121) uses it. The tokenizer of the ``rouge_score`` package keeps a–z
    and 0–9 only; an answer with no such character is not judged.
    """

    needs: ClassVar[tuple[Need, ...]] = ("scores", "generations")

    def rows(self, evidence: Evidence) -> list[Value]:
        """A recall in [0, 1] a probe whose answer has a word."""
        from rouge_score.rouge_scorer import RougeScorer

        scorer = RougeScorer(["rougeL"], use_stemmer=True)
        pairs = zip(evidence.scores or (), evidence.generations or (), strict=True)
        return [
            Value(item.fact.subject, float(scorer.score(item.probe.answer, text)["rougeL"].recall))
            for item, text in pairs
            if text is not None and any(c.isascii() and c.isalnum() for c in item.probe.answer)
        ]
