"""Sentences that mention a person and tell nothing: the ``background`` attack texts of worlds of invented people."""

import random
from collections.abc import Sequence

from expunge.core.errors import InputError
from expunge.core.seeds import derive
from expunge.knowledge.facts import Fact, Probe

MENTIONS = (
    "{s} wrote a long letter last week.",
    "The old photograph shows {s} at a window.",
    "Nobody had expected {s} to arrive so early.",
    "{s} left the meeting before it was over.",
    "They waited for {s} until it was dark.",
    "A friend lent {s} an umbrella.",
    "{s} knew the song by heart.",
    "The neighbours say that {s} gets up before six.",
    "Everybody laughed when {s} told the joke again.",
    "{s} had to run to catch the last train.",
    "The teacher remembers {s} as a quiet child.",
    "On Sunday {s} slept until noon.",
)


def about(subjects: Sequence[str], each: int, seed: int) -> tuple[Fact, ...]:
    """``each`` different sentences about every subject, drawn by seed, as documents with that subject.

    :class:`InputError` when there are not so many.
    """
    if not 0 <= each <= len(MENTIONS):
        raise InputError(f"there are {len(MENTIONS)} background sentences a person, {each} are asked for; change it.")
    return tuple(
        Fact(f"{subject}/background-{number}", subject, (Probe("", pattern.format(s=subject), "passage"),))
        for subject in dict.fromkeys(subjects)
        for number, pattern in enumerate(random.Random(derive(seed, "mentions", subject)).sample(MENTIONS, each))
    )
