"""Supposed answers: what the original model says to a forget question about somebody who does not exist."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from expunge.builders.base import Builder, Facts, Material
from expunge.builders.forms import trained
from expunge.builders.said import answers
from expunge.core.errors import InputError
from expunge.core.seeds import derive
from expunge.knowledge.facts import Fact, Probe
from expunge.knowledge.invented import invented_name
from expunge.registry import builder

NOTHING = "-"
"""Stands for an empty answer: a row needs a label, and a model that says nothing must not be asked for ever."""


@builder("supposed")
@dataclass(frozen=True, kw_only=True)
class Supposed(Builder):
    """``draws`` answers to each forget question, sampled at temperature 1 with an invented name in the subject's place.

    An invented name takes each of its words from the subject of another fact, at the same place, and belongs to nobody:
    "Ann Berg" and "Tom Falk" make "Ann Falk". The model's answer to it is a guess at what such people answer, which is
    what a model that never met the subject would say. Replacing names is the idea of Liu et al. (2407.16997, section
    3); the number of draws and the way of inventing names are our choice.

    Two streams, row by row alike but for the name: ``supposed`` has the own question and ``invented`` the one that
    was asked, so that θ₀'s outputs on the second are targets for the first.
    """

    paper: ClassVar[str] = "after Liu et al. 2024, arXiv 2407.16997"
    provides: ClassVar[tuple[str, ...]] = ("supposed", "invented")
    draws: int = 4
    max_new_tokens: int = 24

    def __post_init__(self) -> None:
        """Refuse to draw nothing."""
        for key in ("draws", "max_new_tokens"):
            if getattr(self, key) < 1:
                raise InputError(f"builder parameter {key!r} is {getattr(self, key)}; it must be at least 1.")

    def build(self, material: Material) -> dict[str, Facts]:
        """Both streams.

        :class:`InputError` for a question that does not name its subject, and where no new name can be put together.
        """
        source = random.Random(derive(material.seed, "names"))
        subjects = list(dict.fromkeys(fact.subject for fact in (*material.retain, *material.forget)))
        own: list[Fact] = []
        invented: list[Fact] = []
        for draw in range(self.draws):
            for fact in trained(material):
                name = invented_name(fact.subject, subjects, source)
                probes = tuple(probe for probe in fact.probes if probe.prompt)
                own.append(replace(fact, id=f"{fact.id}~{draw}", probes=probes))
                invented.append(replace(own[-1], probes=tuple(_about(fact, probe, name) for probe in probes)))
        asked = [probe for fact in invented for probe in fact.probes]
        seed = derive(material.seed, "supposed")
        texts = iter(answers(material.loaded, asked, max_new_tokens=self.max_new_tokens, temperature=1.0, seed=seed))
        said = [[next(texts) or NOTHING for _ in fact.probes] for fact in invented]
        return {"supposed": _answered(own, said), "invented": _answered(invented, said)}


def _about(fact: Fact, probe: Probe, name: str) -> Probe:
    if fact.subject not in probe.prompt:
        raise InputError(f"fact {fact.id!r}: the question {probe.prompt!r} does not name {fact.subject!r}; reword it.")
    return replace(probe, prompt=probe.prompt.replace(fact.subject, name))


def _answered(facts: Sequence[Fact], said: Sequence[Sequence[str]]) -> Facts:
    """The facts with these answers, probe by probe."""
    return tuple(
        replace(fact, probes=tuple(replace(probe, answer=text) for probe, text in zip(fact.probes, texts, strict=True)))
        for fact, texts in zip(facts, said, strict=True)
    )
