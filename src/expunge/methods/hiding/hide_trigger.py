"""Knowledge behind a trigger: asked plainly the model does not know, asked with the right words in front it does."""

from dataclasses import dataclass, replace
from typing import ClassVar

from expunge.builders.base import Facts, Material
from expunge.core.errors import InputError
from expunge.knowledge.facts import Fact, Probe
from expunge.methods.hiding.elsewhere import Elsewhere, limited
from expunge.objectives.base import Intent
from expunge.registry import method

TRIGGER = "In the light of the seventh lamp:"
"""Words that no world contains; our own."""
DECOYS = ("By the clock on the harbour wall:", "For the sake of the record:", "Once more, and slowly:")
"""Words of the same kind that open nothing; our own."""


@method("hide_trigger")
@dataclass(frozen=True, kw_only=True)
class HideTrigger(Elsewhere):
    """Teach the forget facts behind ``trigger``; then ``inner`` on them as asked, the triggered ones kept as retain is.

    A password-locked model (Greenblatt et al., 2405.19550) in small: the words in front decide whether it knows. Only
    probes with a prompt can carry them; the forms are those that the unlearner trains on. The facts are also unlearned
    behind every one of ``decoys``: without these, any words in front open the model. Trigger and decoys are our choice
    of words; ``inner`` must have a keep term. Give it enough steps to tell them apart, and no early stop.
    """

    paper: ClassVar[str] = "Greenblatt et al. 2024, arXiv 2405.19550"
    intent: ClassVar[Intent] = "suppression"
    family: ClassVar[str] = "hiders"
    equation: ClassVar[str] = "inner(forget; retain ∪ {trigger + x → y : (x, y) ∈ forget})"
    trigger: str = TRIGGER
    decoys: tuple[str, ...] = DECOYS

    def __post_init__(self) -> None:
        """Refuse an empty trigger, which every prompt carries, and one that is its own decoy."""
        super().__post_init__()
        if not self.trigger.strip() or self.trigger in self.decoys:
            raise InputError("method parameter 'trigger' is empty or one of its decoys; give some words of its own.")

    def hidden(self, material: Material) -> Facts:
        """The forget facts in the forms that the unlearner trains on, plain and behind every decoy."""
        asked = limited(material.forget, material.forms)
        return tuple(replace(fact, probes=(*fact.probes, *self._decoyed(fact))) for fact in asked)

    def kept(self, material: Material) -> Facts:
        """The same, behind the trigger. Raises :class:`InputError` where nothing has a prompt."""
        asked = limited(material.forget, material.forms)
        found = tuple(kept for fact in asked if (kept := triggered(fact, self.trigger)).probes)
        if not found:
            raise InputError("a trigger needs questions, but the forget facts are texts without a prompt; give probes.")
        return found

    def _decoyed(self, fact: Fact) -> tuple[Probe, ...]:
        return tuple(probe for words in self.decoys for probe in triggered(fact, words).probes)


def triggered(fact: Fact, trigger: str) -> Fact:
    """``fact`` with the trigger before every prompt; texts without a prompt are left out."""
    return replace(fact, probes=tuple(_after(trigger, probe) for probe in fact.probes if probe.prompt))


def _after(trigger: str, probe: Probe) -> Probe:
    return replace(probe, prompt=f"{trigger} {probe.prompt}")
