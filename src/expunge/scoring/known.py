"""Keeping the facts that a model already knows, so that a study needs no teaching."""

from collections import defaultdict
from dataclasses import replace

from expunge.core.errors import InputError
from expunge.knowledge.facts import Fact, Knowledge, Split
from expunge.models.chat import Encoder
from expunge.models.view import View
from expunge.scoring.probes import score_facts

SETS = ("forget", "retain_train", "retain_eval")


def keep_known(view: View, encoder: Encoder, knowledge: Knowledge, min_forms: int = 3) -> Knowledge:
    """``knowledge`` without the forget and retain facts that the model does not know.

    A fact is known when greedy match holds in at least ``min_forms`` of its forms; a form with several probes
    counts when all of them match. Streams and placebo facts stay as they are. :class:`InputError` when no forget
    fact remains.
    """
    facts = [fact for name in SETS for fact in getattr(knowledge, name)]
    known = known_facts(view, encoder, facts, min_forms)
    forget, retain_train, retain_eval = (
        tuple(fact for fact in getattr(knowledge, name) if fact in known) for name in SETS
    )
    if not forget:
        raise InputError(
            f"the model knows none of the {len(knowledge.forget)} forget facts of {knowledge.name!r} in "
            f"{min_forms} forms; lower min_forms, choose another template, or teach the facts first."
        )
    split = _filtered(knowledge.split, known)
    return replace(knowledge, forget=forget, retain_train=retain_train, retain_eval=retain_eval, split=split)


def known_facts(view: View, encoder: Encoder, facts: list[Fact], min_forms: int) -> set[Fact]:
    """The facts that match greedily in at least ``min_forms`` forms."""
    hits: defaultdict[Fact, defaultdict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for item in score_facts(view, encoder, facts):
        hits[item.fact][item.probe.form].append(item.score.greedy)
    return {fact for fact, forms in hits.items() if sum(map(all, forms.values())) >= min_forms}


def _filtered(split: Split | None, known: set[Fact]) -> Split | None:
    """An official cut without the forget facts that were dropped; its texts may be narrower than the facts."""
    if split is None:
        return None
    ids = {fact.id for fact in known}
    train, scored = (tuple(fact for fact in side if fact.id in ids) for side in (split.train, split.score))
    return replace(split, train=train, score=scored)
