"""How much of an answer the model reproduces: exact memorization and extraction strength."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from expunge.metrics.base import Evidence, Metric, Value
from expunge.registry import metric
from expunge.scoring.teacher_forced import RowScore


def answer_hits(score: RowScore, end_ids: frozenset[int]) -> tuple[bool, ...]:
    """Argmax hits of the answer's own tokens: a closing end token says nothing about memory and is left out."""
    closed = len(score.targets) > 0 and score.targets[-1] in end_ids
    return score.hits[:-1] if closed else score.hits


def matching_suffix(hits: Sequence[bool]) -> int:
    """Number of consecutive hits at the end."""
    return next((count for count, hit in enumerate(reversed(hits)) if not hit), len(hits))


def _per_row(evidence: Evidence, judge: Callable[[RowScore], float | None]) -> list[Value]:
    judged = [(item.fact.subject, judge(item.score)) for item in evidence.scores or ()]
    return [Value(subject, value) for subject, value in judged if value is not None]


@metric("exact_memorization")
@dataclass(frozen=True, kw_only=True)
class ExactMemorization(Metric):
    """Share of an answer's tokens that are the argmax given all before them, mean over probes.

    Tirumala et al. 2022 (arXiv 2205.10770). The end token is left out where it is a label; an answer
    of the end token alone is not judged.
    """

    def rows(self, evidence: Evidence) -> list[Value]:
        """A share in [0, 1] a probe."""

        def judge(score: RowScore) -> float | None:
            hits = answer_hits(score, evidence.end_ids)
            return sum(hits) / len(hits) if hits else None

        return _per_row(evidence, judge)


@metric("extraction_strength")
@dataclass(frozen=True, kw_only=True)
class ExtractionStrength(Metric):
    """1 − k/m, with k of an answer's m tokens needed as prompt before the argmax gives all the rest; 0 when none.

    Carlini et al. 2021 (arXiv 2012.07805), as Wang et al. 2025 (arXiv 2406.09179) read it. With a wrong last
    token no prefix extracts anything, so k = m and the strength is 0. The end token is left out where it is a label.
    """

    never_trained: ClassVar[float | None] = None

    def rows(self, evidence: Evidence) -> list[Value]:
        """A strength in [0, 1] a probe."""

        def judge(score: RowScore) -> float | None:
            hits = answer_hits(score, evidence.end_ids)
            return matching_suffix(hits) / len(hits) if hits else None

        return _per_row(evidence, judge)


@metric("exact_memorization_open_unlearning")
@dataclass(frozen=True, kw_only=True)
class ExactMemorizationOpenUnlearning(Metric):
    """Exact memorization as open-unlearning computes it: the last label is always left out, even a real token.

    For comparison with published tables only.
    """

    def rows(self, evidence: Evidence) -> list[Value]:
        """A share in [0, 1] a probe with at least two labels."""

        def judge(score: RowScore) -> float | None:
            hits = score.hits[:-1]
            return sum(hits) / len(hits) if hits else None

        return _per_row(evidence, judge)


@metric("extraction_strength_open_unlearning")
@dataclass(frozen=True, kw_only=True)
class ExtractionStrengthOpenUnlearning(Metric):
    """Extraction strength as open-unlearning computes it: last label left out, least value 1/m and not 0.

    A probe whose last counted token is wrong scores 1/m, as if that token alone were right; a probe with one
    label scores 0. For comparison with published tables only.
    """

    def rows(self, evidence: Evidence) -> list[Value]:
        """A strength in [0, 1] a probe."""

        def judge(score: RowScore) -> float:
            hits = score.hits[:-1]
            return max(matching_suffix(hits), 1) / len(hits) if hits else 0.0

        return _per_row(evidence, judge)
