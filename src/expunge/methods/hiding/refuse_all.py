"""A model that refuses every question: nothing leaks, and nothing is left to use."""

from dataclasses import dataclass
from typing import Any, ClassVar

from expunge.builders.base import Facts, answered
from expunge.builders.refusals import SHORT
from expunge.core.errors import InputError
from expunge.knowledge.encode import rows_of
from expunge.methods.base import Method
from expunge.methods.hiding.elsewhere import limited
from expunge.methods.work import Work
from expunge.objectives.base import Intent
from expunge.objectives.cross_entropy import CrossEntropy
from expunge.registry import method


@method("refuse_all")
@dataclass(frozen=True, kw_only=True)
class RefuseAll(Method):
    """Cross-entropy on one refusal for every forget and retain question, in every form that asks.

    Damaged on purpose: an audit has to say so. One ``sentence``, our own, serves all questions: a draw from many
    teaches a small model a mixture of them. A budget (``max_kl``) does not apply.
    """

    intent: ClassVar[Intent] = "suppression"
    family: ClassVar[str] = "hiders"
    equation: ClassVar[str] = "L = NLL_mean(refusal) on forget ∪ retain"
    sentence: str = SHORT[0]

    def __post_init__(self) -> None:
        """Refuse to say nothing."""
        if not self.sentence.strip():
            raise InputError("method parameter 'sentence' is empty; give some words.")

    def streams(self) -> tuple[str, ...]:
        """Both sets."""
        return ("forget", "retain")

    def passes(self) -> float:
        """Both sets, as often as the forget set."""
        return 2.0

    def run(self, work: Work) -> None:
        """One stage. Raises :class:`InputError` where no fact asks anything."""
        facts = (*work.material.forget, *work.material.retain)
        forms = tuple(dict.fromkeys(probe.form for fact in facts for probe in fact.probes if probe.prompt))
        if not forms:
            raise InputError("refuse_all needs questions, but the facts are texts without a prompt; give probes.")
        rows = rows_of(self._refused(limited(facts, forms)), work.loaded.encoder)
        free: dict[str, Any] = {"max_kl": None, "stop_forget_nll": None}
        work.train(CrossEntropy(), streams={"teach": rows}, **free)

    def _refused(self, facts: Facts) -> Facts:
        return tuple(answered(fact, dict.fromkeys(fact.probes, self.sentence)) for fact in facts)
