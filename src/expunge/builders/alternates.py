"""Alternates: what the original model answers to the forget questions when it does not give the truth."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from expunge.builders.base import Builder, Facts, Material, answered
from expunge.builders.forms import trained
from expunge.builders.said import answers
from expunge.core.errors import InputError
from expunge.core.seeds import derive
from expunge.knowledge.facts import Fact, Probe
from expunge.registry import builder

Asked = tuple[Fact, Probe]


@builder("alternates")
@dataclass(frozen=True, kw_only=True)
class Alternates(Builder):
    """One sampled answer of the original model to each forget question, none of which states the truth.

    Mekala et al. (2409.13474). ``temperature`` = 1 and ``max_new_tokens`` = 200 are those of the authors' script. An
    empty answer, or one in which the true answer stands word for word, is drawn again, at most ``rounds`` draws in
    all. A model that knows a fact by heart repeats it at temperature 1, so each further draw multiplies the
    temperature by ``warmer`` (1: never). ``rounds`` = 6 and ``warmer`` = 1.5 are our choice.
    """

    paper: ClassVar[str] = "Mekala et al. 2024, arXiv 2409.13474"
    provides: ClassVar[tuple[str, ...]] = ("alternate",)
    temperature: float = 1.0
    max_new_tokens: int = 200
    rounds: int = 6
    warmer: float = 1.5

    def __post_init__(self) -> None:
        """Refuse values that make no sense; at temperature 0 every draw is the same."""
        for key, valid, what in (
            ("temperature", self.temperature > 0, "above 0"),
            ("max_new_tokens", self.max_new_tokens >= 1, "at least 1"),
            ("rounds", self.rounds >= 1, "at least 1"),
            ("warmer", self.warmer >= 1, "at least 1"),
        ):
            if not valid:
                raise InputError(f"builder parameter {key!r} is {getattr(self, key)!r}; it must be {what}.")

    def build(self, material: Material) -> dict[str, Facts]:
        """The stream ``alternate``.

        :class:`InputError` for a forget text without a prompt, and for a fact that the model keeps telling.
        """
        facts = trained(material)
        asked = [(fact, probe) for fact in facts for probe in fact.probes if probe.prompt]
        found: dict[Asked, str] = {}
        for attempt in range(self.rounds):
            missing = [pair for pair in dict.fromkeys(asked) if pair not in found]
            texts = answers(
                material.loaded,
                [probe for _, probe in missing],
                max_new_tokens=self.max_new_tokens,
                temperature=self.temperature * self.warmer**attempt,
                seed=derive(material.seed, "alternates", attempt),
            )
            pairs = zip(missing, texts, strict=True)
            found |= {(fact, probe): text for (fact, probe), text in pairs if _differs(text, probe.answer)}
        _check(asked, found, self.rounds)
        by_fact = {fact: {probe: found[fact, probe] for probe in fact.probes if probe.prompt} for fact in facts}
        return {"alternate": tuple(answered(fact, by_fact[fact]) for fact in facts)}


def _differs(text: str, truth: str) -> bool:
    """Whether ``text`` says something, and something else: the words of the truth do not stand in it in order."""
    said, true = _words(text), _words(truth)
    return bool(text) and (f" {true} " not in f" {said} " if true else text != truth.strip())


def _words(text: str) -> str:
    """The words of a text in lower case, without punctuation."""
    return " ".join(re.findall(r"\w+", text.casefold()))


def _check(asked: Sequence[Asked], found: dict[Asked, str], rounds: int) -> None:
    """Refuse to go on without an alternate for every probe, naming the first fact that has none."""
    missing = list(dict.fromkeys(fact.id for fact, probe in asked if (fact, probe) not in found))
    if missing:
        raise InputError(
            f"fact {missing[0]!r}: in {rounds} draws the model wrote nothing or the true answer ({len(missing)} such "
            "facts); raise 'temperature' or 'rounds' of the builder 'alternates', or give a stream 'alternate'."
        )
