"""The model is asked in the form in which it kept the facts."""

from dataclasses import dataclass, replace

from expunge.certificates.base import Certificate, recall
from expunge.core.errors import InputError
from expunge.knowledge.facts import Fact, Knowledge, Probe, Split
from expunge.knowledge.passages import CONTINUATION
from expunge.models.loaded import LoadedModel
from expunge.registry import certificate


@certificate("form")
@dataclass(frozen=True, kw_only=True)
class Form(Certificate):
    """Recall on V in the form ``form``; for ``hide_form``, whose ``kept_form`` it is.

    A form that is a text without a prompt is asked as a continuation: what stands before the answer, which the
    questions of the fact name, is given, and the answer is to follow.
    """

    form: str = "cloze"

    def recalled(
        self, candidate: LoadedModel, original: LoadedModel, knowledge: Knowledge, split: Split, seed: int
    ) -> float:
        """See the class. Raises :class:`InputError` for a fact that cannot be asked in the form."""
        return recall(candidate, [self._asked(fact) for fact in split.score], (self.form, CONTINUATION))

    def _asked(self, fact: Fact) -> Fact:
        probes = tuple(asked for probe in fact.of_form(self.form) if (asked := _prompted(probe, fact)))
        if not probes:
            raise InputError(f"fact {fact.id!r} cannot be asked in the form {self.form!r}; choose another 'form'.")
        return replace(fact, probes=probes)


def _prompted(probe: Probe, fact: Fact) -> Probe | None:
    """``probe``, or the end of its text from the answer of one of the fact's questions on."""
    if probe.prompt:
        return probe
    for question in fact.probes:
        before, found, _ = probe.answer.rpartition(question.answer)
        if question.prompt and found and before.strip():
            return Probe(before.rstrip(), found, CONTINUATION)
    return None
