"""ROUGE-L of generated answers: recall and F1."""

from collections.abc import Iterable
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
        return _rows(evidence, "recall", stem=True)


@metric("rouge_l_f1")
@dataclass(frozen=True, kw_only=True)
class RougeLF1(Metric):
    """Mean ROUGE-L F1: harmonic mean of recall and of the common subsequence over the generated words.

    MUSE's field (Shi et al. 2024, arXiv 2407.06460, section 3.1), which does not stem; ``stem`` as open-unlearning
    does. A text that goes on after the answer scores lower than under recall: never mix the two. Measured where it is
    asked for by name, as recall says much the same.
    """

    needs: ClassVar[tuple[Need, ...]] = ("scores", "generations")
    costly: ClassVar[bool] = True
    of_original: ClassVar[bool] = True

    stem: bool = False

    def rows(self, evidence: Evidence) -> list[Value]:
        """An F1 in [0, 1] a probe whose answer has a word."""
        return _rows(evidence, "fmeasure", stem=self.stem)


def _rows(evidence: Evidence, field: str, *, stem: bool) -> list[Value]:
    """One field of ROUGE-L, a probe that was asked."""
    pairs = zip(evidence.scores or (), evidence.generations or (), strict=True)
    told = ((item.fact.subject, item.probe.answer, text) for item, text in pairs if text is not None)
    return rouge_l(told, field, stem=stem)


def rouge_l(told: Iterable[tuple[str, str, str]], field: str, *, stem: bool) -> list[Value]:
    """``field`` (``recall``, ``precision`` or ``fmeasure``) of (subject, answer, text); an answer needs a word."""
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"], use_stemmer=stem)
    return [
        Value(subject, float(getattr(scorer.score(answer, text)["rougeL"], field)))
        for subject, answer, text in told
        if any(c.isascii() and c.isalnum() for c in answer)
    ]
