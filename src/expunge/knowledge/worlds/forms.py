"""The surface forms in which every world asks for a fact, made from one set of sentence patterns.

``{s}`` is the subject (or what the question is about), ``{a}`` the answer. ``prose`` is a whole sentence: a
document probe (empty prompt), to be trained on and never scored as an answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from expunge.knowledge.facts import Fact, Probe

ASKED = ("qa", "paraphrase", "cloze", "short")
"""The forms with a prompt and a short answer; a world's facts carry all of them, and ``prose``."""


@dataclass(frozen=True, slots=True)
class Patterns:
    """Sentence patterns of one attribute, one a form."""

    qa: str
    paraphrase: str
    cloze: str
    short: str
    prose: str

    def probes(self, subject: str, answer: str, perturbed: Sequence[str] = ()) -> tuple[Probe, ...]:
        """One probe a form. ``perturbed`` wrong answers go to every form that asks."""
        asked = (Probe(getattr(self, form).format(s=subject), answer, form, tuple(perturbed)) for form in ASKED)
        return (*asked, Probe("", self.prose.format(s=subject, a=answer), "prose"))


def document(key: str, text: str) -> Fact:
    """A fact that is a text of its own: subject and id are ``key``."""
    return Fact(key, key, (Probe("", text, "passage"),))


def only_prose(fact: Fact) -> Fact:
    """The fact's sentence as a document, its subject kept; used for attack texts."""
    (prose,) = fact.of_form("prose")
    return Fact(f"{fact.id}/text", fact.subject, (Probe("", prose.answer, "passage"),), fact.attribute, fact.hops)
