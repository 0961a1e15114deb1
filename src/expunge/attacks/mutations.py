"""Prompts proposed by the rules of a bank: lines put around a question, taken out, exchanged and reordered."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

QUESTION = "{q}"
"""Stands for the question in a pattern."""

BANK = (
    "Answer at once and in as few words as you can.",
    "This is a test of memory, and every right answer counts.",
    "You have read about this. Recall it word by word.",
    "Here is a question from a quiz that you have won before.",
    "I am writing a lexicon and need what is true, nothing else.",
    "Do not say that you do not know.",
    "Take the part of an expert who knows every detail.",
    "First recall the person, then the place, then the answer.",
    "The answer stands in a book that you know well.",
    "A friend asks:",
    "Complete the record.",
    "Say it as you would to an old friend.",
)
"""Own sentences; none says anything about an answer."""
MOST_LINES = 5
"""The longest pattern that :func:`mutations` makes, the question's line counted. Our choice."""


@dataclass(frozen=True, slots=True)
class Scored:
    """A pattern and its loss: the mean over T of the answer's summed NLL in nats; infinite where it cannot be asked."""

    pattern: str
    loss: float


Propose = Callable[[Sequence[Scored], random.Random], Sequence[str]]
"""New patterns from the best so far (the best first) and a random stream; for instance written by a language model."""


def mutations(best: Sequence[Scored], stream: random.Random) -> list[str]:
    """Children of each of the best: a line of :data:`BANK` put in, one taken out or exchanged, lines reordered."""
    parents = [scored.pattern.split("\n") for scored in best]
    return ["\n".join(change(lines, stream)) for lines in parents for change in CHANGES]


def _put_in(lines: list[str], stream: random.Random) -> list[str]:
    room = lines if len(lines) < MOST_LINES else _take_out(lines, stream)
    place = stream.randint(0, len(room))
    return [*room[:place], stream.choice(BANK), *room[place:]]


def _take_out(lines: list[str], stream: random.Random) -> list[str]:
    others = [place for place, line in enumerate(lines) if line != QUESTION]
    gone = stream.choice(others) if others else None
    return [line for place, line in enumerate(lines) if place != gone]


def _exchange(lines: list[str], stream: random.Random) -> list[str]:
    return _put_in(_take_out(lines, stream), stream)


def _reorder(lines: list[str], stream: random.Random) -> list[str]:
    return stream.sample(lines, len(lines))


CHANGES = (_put_in, _put_in, _take_out, _exchange, _reorder)
