"""Multiple choice: the options of a question with the log-likelihood of each under a model."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from expunge.core.errors import InputError
from expunge.knowledge.facts import Fact
from expunge.models.chat import Encoder
from expunge.models.view import View
from expunge.scoring.probes import score_facts

OPTION = "option"


@dataclass(frozen=True, slots=True)
class Choice:
    """One question and the summed log-likelihood, in nats, of each option by its text; the right one stands first."""

    fact: Fact
    right: str
    options: Mapping[str, float]

    def picked(self, by_character: bool = False) -> str:
        """The model's answer; ``by_character`` divides an option's log-likelihood by its number of characters.

        Of equal options the later one counts, so that a tie with the right answer is wrong.
        """
        return max(
            reversed(list(self.options)), key=lambda text: self.options[text] / (len(text) if by_character else 1)
        )

    @property
    def confidence(self) -> float:
        """The picked option's share of all options' probability."""
        most = self.options[self.picked()]
        return 1 / math.fsum(math.exp(value - most) for value in self.options.values())


def choices(
    view: View, encoder: Encoder, facts: Sequence[Fact], form: str = "choice", *, max_tokens: int = 4096
) -> list[Choice]:
    """The options of all probes of ``form`` that have wrong answers, scored in one pass that shares their questions.

    :class:`InputError` when no probe of that form has wrong answers.
    """
    asked = [(fact, probe) for fact in facts for probe in fact.of_form(form) if probe.perturbed]
    if not asked:
        raise InputError(f"no fact has a probe of form {form!r} with wrong answers; choose another form.")
    options = [
        replace(
            fact,
            id=str(number),
            probes=tuple(replace(probe, answer=text, form=OPTION) for text in (probe.answer, *probe.perturbed)),
        )
        for number, (fact, probe) in enumerate(asked)
    ]
    found: dict[str, dict[str, float]] = {}
    for item in score_facts(view, encoder, options, (OPTION,), max_tokens=max_tokens):
        found.setdefault(item.fact.id, {})[item.probe.answer] = sum(item.score.logprobs)
    return [Choice(fact, probe.answer, found[str(number)]) for number, (fact, probe) in enumerate(asked)]
