"""Multiple choice as lm-eval scores it: the option of largest log-likelihood is the model's answer."""

from collections.abc import Sequence
from dataclasses import dataclass

from expunge.knowledge.facts import Fact
from expunge.metrics.base import Reading, Value, interval
from expunge.models.chat import Encoder
from expunge.models.view import View
from expunge.scoring.choices import choices


@dataclass(frozen=True, slots=True)
class ChoiceAccuracies:
    """lm-eval's ``acc`` and ``acc_norm``."""

    plain: Reading
    by_character: Reading


def choice_accuracies(
    view: View, encoder: Encoder, facts: Sequence[Fact], form: str = "choice", *, max_tokens: int = 4096
) -> ChoiceAccuracies:
    """Share of questions whose right option is picked, by log-likelihood and by log-likelihood a character."""
    found = choices(view, encoder, facts, form, max_tokens=max_tokens)
    readings = [
        interval([Value(item.fact.subject, float(item.picked(way) == item.right)) for item in found], proportion=True)
        for way in (False, True)
    ]
    return ChoiceAccuracies(*readings)


def choice_accuracy(view: View, encoder: Encoder, facts: Sequence[Fact], form: str = "choice") -> Reading:
    """Share of questions whose answer has a larger summed log-likelihood than every wrong answer.

    lm-eval's ``acc``, on probes of ``form`` with wrong answers; chance is one over the number of options. Ties go to
    the wrong answer. :class:`InputError` when no probe of that form has wrong answers.
    """
    return choice_accuracies(view, encoder, facts, form).plain
