"""Truth ratio: how probable wrong answers are beside a right one."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import ClassVar, Literal

from expunge.core.errors import InputError
from expunge.metrics.base import Evidence, Metric, Value
from expunge.registry import metric, suggestion
from expunge.scoring.probes import ProbeScore

PARAPHRASED, PERTURBED = "paraphrased_answer", "perturbed_answer"
"""Probe forms: the true answer in other words, and wrong answers in those words, all to the same question."""

PEER_EPSILON = 1e-10
"""What open-unlearning adds to denominators."""


def answers(evidence: Evidence) -> Sequence[ProbeScore]:
    """The scored probes or, where none of them is a wrong answer, the questions that were asked with some."""
    scores = evidence.scores or ()
    if evidence.wrong_answers is None or any(item.probe.form == PERTURBED for item in scores):
        return scores
    return evidence.wrong_answers.scored()


@dataclass(frozen=True, slots=True)
class Sides:
    """Mean NLL a token of the right and of the wrong answers to one question, in nats."""

    subject: str
    right: float
    wrong: float

    @property
    def log_ratio(self) -> float:
        """log(w/c): above 0 where the wrong answers are the likelier ones."""
        return self.right - self.wrong

    def ratio(self, epsilon: float = 0.0) -> float:
        """w/(c + ε) with w and c the geometric mean token probabilities of the wrong and the right side."""
        return math.exp(-self.wrong) / (math.exp(-self.right) + epsilon) if epsilon else math.exp(self.log_ratio)


def sides(scores: Sequence[ProbeScore]) -> list[Sides]:
    """One entry a fact with wrong answers scored; the right side is the paraphrase, or the answer where none is given.

    :class:`InputError` names the row of a loss that is not finite.
    """
    by_fact: dict[str, list[ProbeScore]] = {}
    for item in scores:
        if not math.isfinite(item.score.nll_mean):
            raise InputError(
                f"row {item.score.key!r} has the loss {item.score.nll_mean}; the model's weights diverged."
            )
        by_fact.setdefault(item.fact.id, []).append(item)
    found = [(items, _of(items, PERTURBED)) for items in by_fact.values()]
    return [
        Sides(items[0].fact.subject, fmean(_of(items, PARAPHRASED) or _right(items)), fmean(wrong))
        for items, wrong in found
        if wrong and (_of(items, PARAPHRASED) or _right(items))
    ]


def _of(items: Sequence[ProbeScore], form: str) -> list[float]:
    return [item.score.nll_mean for item in items if item.probe.form == form]


def _right(items: Sequence[ProbeScore]) -> list[float]:
    """The answer as it was taught: the fact's first probe that is no wrong answer."""
    return [item.score.nll_mean for item in items if item.probe.form not in (PARAPHRASED, PERTURBED)][:1]


def closer_to_1(pair: Sides, epsilon: float) -> float:
    """min(r, 1/r): 1 where right and wrong answers are equally likely."""
    if not epsilon:
        return math.exp(-abs(pair.log_ratio))
    ratio = pair.ratio(epsilon)
    return min(ratio, 1 / (ratio + epsilon))


def true_better(pair: Sides, epsilon: float) -> float:
    """max(0, 1 − r): 0 where wrong answers are at least as likely."""
    return max(0.0, 1 - pair.ratio(epsilon)) if epsilon else -math.expm1(min(0.0, pair.log_ratio))


def prob_mean(pair: Sides, epsilon: float) -> float:
    """c/(c + w): one half where both are equally likely."""
    if not epsilon:
        return (1 - math.tanh(pair.log_ratio / 2)) / 2
    right, wrong = math.exp(-pair.right), math.exp(-pair.wrong)
    return right / (right + wrong + epsilon)


AGGREGATORS: Mapping[str, Callable[[Sides, float], float]] = {
    "closer_to_1_better": closer_to_1,
    "true_better": true_better,
    "prob_mean": prob_mean,
}


@metric("truth_ratio")
@dataclass(frozen=True, kw_only=True)
class TruthRatio(Metric):
    """Mean over questions of min(r, 1/r), r = wrong answers' probability over the paraphrased true answer's.

    TOFU (arXiv 2401.06121), section 2.2; r is of geometric mean token probabilities, the mean over wrong answers
    taken in log space. ``aggregator``: ``closer_to_1_better`` (forget sets), ``true_better`` max(0, 1 − r) (retain
    sets) or ``prob_mean`` 1/(1 + r); open-unlearning's names. ``epsilon`` is added to denominators: 0, our choice,
    computes in log space; 1e-10 is open-unlearning's form, in which r falls to 0 once the right answer costs more than
    23 nats a token. Reads the forms ``paraphrased_answer`` (or the plain answer) and ``perturbed_answer``, or one
    question a fact that has wrong answers.
    """

    direction: ClassVar[Literal["lower", "higher"]] = "higher"
    forget_only: ClassVar[bool] = True
    aggregator: str = "closer_to_1_better"
    epsilon: float = 0.0

    def __post_init__(self) -> None:
        """Refuse an unknown aggregator and a negative epsilon."""
        if self.aggregator not in AGGREGATORS:
            raise InputError(f"unknown aggregator {self.aggregator!r}; {suggestion(self.aggregator, AGGREGATORS)}")
        if self.epsilon < 0:
            raise InputError(f"epsilon is {self.epsilon}; it must be 0 or more.")

    def rows(self, evidence: Evidence) -> list[Value]:
        """A value in [0, 1] a question with wrong answers."""
        judge = AGGREGATORS[self.aggregator]
        return [Value(pair.subject, judge(pair, self.epsilon)) for pair in sides(answers(evidence))]
