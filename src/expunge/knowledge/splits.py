"""Cuts by subject: T, on which the attacker may train, and V, on which it is scored."""

import random
from collections.abc import Sequence
from itertools import pairwise

from expunge.core.errors import InputError
from expunge.core.seeds import derive
from expunge.knowledge.facts import Fact, Leak, Split
from expunge.knowledge.leaks import NGRAM_WORDS, find_leaks


def split_by_subject(facts: Sequence[Fact], *, fraction: float = 0.5, seed: int, ngram: int = NGRAM_WORDS) -> Split:
    """Cut the forget facts in T (about ``fraction`` of the subjects, never more unless one group must) and V.

    Subjects that share an answer string or a long n-gram move together (see :func:`find_leaks`); the leak table is
    in the result. A subject's facts, all hops included, stay on one side.
    Raises :class:`InputError` when fewer than two groups remain or ``fraction`` is not between 0 and 1.
    """
    if not 0 < fraction < 1:
        raise InputError(f"the T fraction must lie between 0 and 1, not {fraction}; change it.")
    groups, leaks = joined(facts, ngram)
    if len(groups) < 2:
        raise InputError(_refusal(groups, leaks))
    random.Random(derive(seed, "split")).shuffle(groups)
    train = first_fit(groups, fraction)
    return Split(
        tuple(fact for fact in facts if fact.subject in train),
        tuple(fact for fact in facts if fact.subject not in train),
        tuple(leaks),
    )


def share(facts: Sequence[Fact], fractions: Sequence[float], seed: int) -> tuple[tuple[Fact, ...], ...]:
    """Parts of ``facts`` by subject, part i holding about ``fractions[i]`` of the subjects (fractions sum to 1).

    Raises :class:`InputError` when the fractions do not sum to 1.
    """
    if abs(sum(fractions) - 1) > 1e-9 or min(fractions) < 0:
        raise InputError(f"fractions {list(fractions)} must not be negative and must sum to 1; change them.")
    subjects = _subjects(facts)
    random.Random(derive(seed, "share")).shuffle(subjects)
    cuts = [round(sum(fractions[:index]) * len(subjects)) for index in range(len(fractions) + 1)]
    parts = [set(subjects[start:end]) for start, end in pairwise(cuts)]
    return tuple(tuple(fact for fact in facts if fact.subject in part) for part in parts)


def joined(facts: Sequence[Fact], ngram: int = NGRAM_WORDS) -> tuple[list[list[str]], list[Leak]]:
    """Subjects that share a string and so must stay together, group by group, and the strings."""
    leaks = find_leaks(facts, ngram)
    return _groups(_subjects(facts), leaks), leaks


def _subjects(facts: Sequence[Fact]) -> list[str]:
    """The subjects in order of first appearance."""
    return list(dict.fromkeys(fact.subject for fact in facts))


def _groups(subjects: Sequence[str], leaks: Sequence[Leak]) -> list[list[str]]:
    """Connected subjects, each group in order of appearance."""
    parent = {subject: subject for subject in subjects}

    def root(subject: str) -> str:
        while parent[subject] != subject:
            parent[subject] = parent[parent[subject]]
            subject = parent[subject]
        return subject

    for leak in leaks:
        first, *others = (root(subject) for subject in leak.subjects)
        for other in others:
            parent[root(other)] = root(first)
    groups: dict[str, list[str]] = {}
    for subject in subjects:
        groups.setdefault(root(subject), []).append(subject)
    return list(groups.values())


def first_fit(groups: Sequence[list[str]], fraction: float) -> set[str]:
    """The subjects of T: each group in turn that still fits; the smallest group when none does."""
    total = sum(map(len, groups))
    room = min(max(round(fraction * total), 1), total - 1)
    chosen: set[str] = set()
    for group in groups:
        if len(chosen) + len(group) <= room:
            chosen.update(group)
    return chosen or set(sorted(groups, key=len)[0])


def _refusal(groups: Sequence[Sequence[str]], leaks: Sequence[Leak]) -> str:
    """Why no cut is possible, naming the string that joins most subjects."""
    if not groups or len(groups[0]) < 2:
        return "the forget facts have fewer than two subjects, so T and V cannot be cut; add facts about others."
    worst = max(leaks, key=lambda leak: len(leak.subjects))
    return (
        f"no cut into T and V remains: all {len(groups[0])} subjects share answers, {len(worst.subjects)} of them "
        f"{worst.text[:60]!r}; make the answers more specific."
    )
