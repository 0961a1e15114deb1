"""Worst-case forget sets: of all that could be forgotten, the subjects that a score calls hardest."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean

from expunge.core.errors import InputError
from expunge.knowledge.facts import Fact, Knowledge
from expunge.models.chat import Encoder
from expunge.models.view import View
from expunge.scoring.probes import asking_forms, score_facts
from expunge.scoring.teacher_forced import RowScore

SCORES: Mapping[str, Callable[[RowScore], float]] = {
    "loss": lambda scored: -scored.nll_mean,
    "greedy_match": lambda scored: float(scored.greedy),
}
"""How hard one probe is, larger is harder: minus its loss in nats a token (Fan et al.), or whether it is still said."""


def hardest(facts: Sequence[Fact], num: int, score: Callable[[Fact], float]) -> tuple[Fact, ...]:
    """The facts of the ``num`` subjects with the largest mean ``score``, in the order of ``facts``.

    Fan et al. (arXiv 2403.07362) search the set by two nested optimisations whose outer step raises the weight of what
    still has little loss after unlearning. This is one round of it: score every fact once, take the top. With
    ``score`` = minus a fact's loss under an unlearned model it is their criterion at equal weights. Equal scores keep
    the order of ``facts``. :class:`InputError` when there are not ``num`` subjects.
    """
    by_subject: dict[str, list[float]] = {}
    for fact in facts:
        by_subject.setdefault(fact.subject, []).append(score(fact))
    if not 1 <= num <= len(by_subject):
        raise InputError(f"{num} subjects are asked for, there are {len(by_subject)}; change the number.")
    ranked = sorted(by_subject, key=lambda subject: -fmean(by_subject[subject]))
    chosen = set(ranked[:num])
    return tuple(fact for fact in facts if fact.subject in chosen)


def worst_case(knowledge: Knowledge, num: int, score: Callable[[Fact], float]) -> Knowledge:
    """``knowledge`` with only its ``num`` hardest subjects to forget; the others are retained for the unlearner.

    A cut that came with it is dropped, so that the study cuts anew.
    """
    forget = hardest(knowledge.forget, num, score)
    kept = {fact.id for fact in forget}
    others = tuple(fact for fact in knowledge.forget if fact.id not in kept)
    return replace(knowledge, forget=forget, retain_train=(*knowledge.retain_train, *others), split=None)


def hardness(view: View, encoder: Encoder, facts: Sequence[Fact], score: str = "loss") -> Callable[[Fact], float]:
    """How hard each of ``facts`` is under a model: the mean of a score of :data:`SCORES` over the fact's probes.

    Every form that asks is scored, documents by their continuation, in one pass.
    """
    found: dict[str, list[float]] = {}
    for item in score_facts(view, encoder, facts, asking_forms(facts)):
        found.setdefault(item.fact.id, []).append(SCORES[score](item.score))
    return lambda fact: fmean(found[fact.id])
