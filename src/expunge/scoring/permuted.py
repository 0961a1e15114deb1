"""Answers exchanged between subjects: the placebo of a relearning attack and the rivals of the contrast metric."""

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

from expunge.core.errors import InputError
from expunge.core.seeds import derive
from expunge.knowledge.facts import Fact, Probe

MIN_ROWS = 8
"""Fewer rows of a form than this give no placebo (design, placebo controls)."""

_Kind = tuple[str, int, tuple[str, ...]]


def permuted_answers(facts: Sequence[Fact], seed: int, *, shift: int = 1, least: int = MIN_ROWS) -> tuple[Fact, ...]:
    """``facts`` with the answers of other subjects of the same attribute, in input order; ids and subjects stay.

    All forms of a fact take their answers from one donor, and no fact keeps its own answer. Answers are laid out
    in a seeded circle with equal ones side by side, and each fact takes the one ``shift`` places on, a place being
    as wide as the commonest answer: ``shift`` and ``−shift`` are inverse to each other. A probe whose answer is not
    a property of the subject alone (a choice letter, a document without prompt) is left out.
    :class:`InputError` with fewer than ``least`` rows of a form in an attribute, or where one answer fills more than
    half.
    """
    movable = [replace(fact, probes=_movable(fact)) for fact in facts]
    groups: defaultdict[_Kind, list[int]] = defaultdict(list)
    for index, fact in enumerate(movable):
        groups[fact.attribute, fact.hops, tuple(probe.form for probe in fact.probes)].append(index)
    donors: dict[int, int] = {}
    for kind, members in groups.items():
        donors.update(_donors(movable, kind, members, seed, shift, least))
    return tuple(_with_answers(fact, movable[donors[index]]) for index, fact in enumerate(movable))


def _movable(fact: Fact) -> tuple[Probe, ...]:
    probes = tuple(probe for probe in fact.probes if probe.prompt and probe.form != "choice")
    if not probes:
        raise InputError(f"fact {fact.id!r} has no question whose answer can be permuted; give it a prompt.")
    return probes


def _donors(
    facts: Sequence[Fact], kind: _Kind, members: Sequence[int], seed: int, shift: int, least: int
) -> dict[int, int]:
    """Recipient index to donor index within one attribute."""
    attribute, _, forms = kind
    if len(members) < least:
        raise InputError(
            f"attribute {attribute!r} has {len(members)} rows of form {forms[0]!r}, and permuting needs {least}; "
            "add facts, or do without permuted answers."
        )
    answers = {index: facts[index].probes[0].answer for index in members}
    width = max(Counter(answers.values()).values())
    offset = shift * width % len(members)
    if min(offset, len(members) - offset) < width:
        raise InputError(
            f"attribute {attribute!r}: one answer fills {width} of {len(members)} rows, so that a fact would keep "
            "its own; add facts with other answers."
        )
    order = sorted(members, key=lambda index: (_rank(seed, attribute, answers[index]), _rank(seed, facts[index].id)))
    return {index: order[(place + offset) % len(order)] for place, index in enumerate(order)}


def _rank(seed: int, *labels: str) -> float:
    """A random place that depends on the seed and the labels only."""
    return random.Random(derive(seed, "permuted", *labels)).random()


def _with_answers(fact: Fact, donor: Fact) -> Fact:
    pairs = zip(fact.probes, donor.probes, strict=True)
    return replace(fact, probes=tuple(replace(own, answer=other.answer) for own, other in pairs))
