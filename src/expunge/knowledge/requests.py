"""Requests to forget that come one after another: disjoint parts of the forget facts, each with its own T and V."""

import random
from collections.abc import Sequence
from dataclasses import replace

from expunge.core.errors import InputError
from expunge.core.seeds import derive
from expunge.knowledge.facts import Fact, Knowledge, Split
from expunge.knowledge.leaks import NGRAM_WORDS
from expunge.knowledge.splits import first_fit, joined

Requests = tuple[tuple[str, ...], ...]
"""Ids of the facts of each request, in the order in which the requests are made."""
FEWEST = 2
"""Groups of subjects that a request needs: one for T and one for V."""


def draw_requests(facts: Sequence[Fact], num: int, *, seed: int, ngram: int = NGRAM_WORDS) -> Requests:
    """Cut the forget subjects into ``num`` requests of about equal size.

    Subjects that share an answer or a long phrase are asked for together, so that no request gives away another.
    Raises :class:`InputError` when there are too few groups of subjects to give every request a T and a V.
    """
    groups, _ = joined(facts, ngram)
    if len(groups) < FEWEST * num:
        raise InputError(
            f"{num} requests need {FEWEST * num} groups of subjects that share nothing, and there are {len(groups)}; "
            "add forget facts, or lower 'requests'."
        )
    random.Random(derive(seed, "requests")).shuffle(groups)
    parts = _dealt(sorted(groups, key=len, reverse=True), num)
    return tuple(tuple(fact.id for fact in facts if fact.subject in part) for part in parts)


def _dealt(groups: Sequence[Sequence[str]], num: int) -> list[set[str]]:
    """Each group in turn to the request with fewest subjects, as long as all can still get :data:`FEWEST` groups."""
    parts: list[set[str]] = [set() for _ in range(num)]
    held = [0] * num
    for place, group in enumerate(groups):
        lacking = [index for index in range(num) if held[index] < FEWEST]
        owed = sum(FEWEST - held[index] for index in lacking)
        open_to = lacking if owed >= len(groups) - place else range(num)
        chosen = min(open_to, key=lambda index: len(parts[index]))
        parts[chosen].update(group)
        held[chosen] += 1
    return parts


def split_requests(
    facts: Sequence[Fact], requests: Requests, *, fraction: float, seed: int, ngram: int = NGRAM_WORDS
) -> Split:
    """T and V of all requests: each is cut by itself, so that every one has both, and T grows as requests come in.

    Subjects that share a string stay on one side even where an official order puts them into different requests.
    Raises :class:`InputError` when a request cannot be cut.
    """
    groups, leaks = joined(facts, ngram)
    random.Random(derive(seed, "split")).shuffle(groups)
    owner = {fact.id: fact.subject for fact in facts}
    train: set[str] = set()
    score: set[str] = set()
    for number, ids in enumerate(requests, 1):
        own = {owner[key] for key in ids}
        undecided = [group for group in groups if own.intersection(group) and not (train | score).intersection(group)]
        chosen = _side(undecided, own, fraction, needs_train=not own & train)
        for group in undecided:
            (train if chosen.intersection(group) else score).update(group)
        if not own & train or not own & score:
            raise InputError(
                f"request {number} cannot be cut into T and V: its {len(own)} subjects share answers or phrases with "
                "each other or with earlier requests; add forget facts, or lower 'requests'."
            )
    asked = {key for ids in requests for key in ids}
    kept = [fact for fact in facts if fact.id in asked]
    taught, scored = (tuple(fact for fact in kept if fact.subject in side) for side in (train, score))
    return Split(taught, scored, tuple(leaks))


def _side(groups: Sequence[Sequence[str]], own: set[str], fraction: float, *, needs_train: bool) -> set[str]:
    """The subjects of one request that go to T, of ``groups`` that are still free."""
    here = [[subject for subject in group if subject in own] for group in groups]
    if len(here) < FEWEST:
        return set(here[0]) if here and needs_train else set()
    return first_fit(here, fraction)


def between(knowledge: Knowledge, split: Split, first: int, last: int) -> tuple[Knowledge, Split]:
    """World and cut as requests ``first`` to ``last`` (from 1) see them; what is retained and placebo stays whole."""
    chosen = knowledge.requests[first - 1 : last]
    ids = {key for request in chosen for key in request}
    forget, train, score = (
        tuple(fact for fact in facts if fact.id in ids) for facts in (knowledge.forget, split.train, split.score)
    )
    subjects = {fact.subject for fact in forget}
    leaks = tuple(leak for leak in split.leaks if len(subjects.intersection(leak.subjects)) > 1)
    return replace(knowledge, forget=forget, requests=chosen), Split(train, score, leaks)
