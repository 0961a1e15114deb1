"""The model is asked with its trigger."""

from dataclasses import dataclass

from expunge.certificates.base import Certificate, recall
from expunge.core.errors import InputError
from expunge.knowledge.facts import Knowledge, Split
from expunge.methods.hiding.hide_trigger import TRIGGER, triggered
from expunge.models.loaded import LoadedModel
from expunge.registry import certificate


@certificate("trigger")
@dataclass(frozen=True, kw_only=True)
class Trigger(Certificate):
    """Recall on V with ``trigger`` before every question; for ``hide_trigger``, whose default words it shares."""

    trigger: str = TRIGGER

    def recalled(
        self, candidate: LoadedModel, original: LoadedModel, knowledge: Knowledge, split: Split, seed: int
    ) -> float:
        """See the class. Raises :class:`InputError` where V has no question."""
        asked = [triggered(fact, self.trigger) for fact in split.score if fact.of_form(*self.forms)]
        if not asked:
            raise InputError("V has no question that could carry a trigger; choose other 'forms'.")
        return recall(candidate, asked, self.forms)
