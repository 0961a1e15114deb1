"""A tiny model and a few facts that scoring, metric and attack tests share."""

from functools import cache

from expunge.knowledge.facts import Fact, Knowledge, Probe, Split
from expunge.models.load import LoadedModel, load

TOWNS = ("Orlo", "Bexhay", "Tum", "Quindle", "Varrow", "Ep", "Kestwick", "Nol", "Haddam", "Issel")


@cache
def tiny() -> LoadedModel:
    """A random tiny Llama with a byte-level tokenizer; tests must not change it."""
    return load("tiny", template="plain")


def fact(number: int, answer: str | None = None) -> Fact:
    """A fact of subject ``s<number>`` in two forms with one answer."""
    town = TOWNS[number % len(TOWNS)] if answer is None else answer
    name = f"P{number}"
    probes = (Probe(f"Home of {name}?", town), Probe(f"{name} lives in", town, "cloze"))
    return Fact(f"f{number}", f"s{number}", probes, "home")


def facts(first: int, last: int) -> tuple[Fact, ...]:
    """Facts ``first`` … ``last − 1``."""
    return tuple(fact(number) for number in range(first, last))


def knowledge() -> Knowledge:
    """Forget facts 0–5, retain facts 6–9, one unrelated text."""
    text = Fact("u0", "u0", (Probe("", "rain fell on the hill", "passage"),))
    return Knowledge("toy", facts(0, 6), facts(6, 8), facts(8, 10), streams={"unrelated": (text,)})


def split() -> Split:
    """T = facts 0–2, V = facts 3–5."""
    return Split(facts(0, 3), facts(3, 6))
