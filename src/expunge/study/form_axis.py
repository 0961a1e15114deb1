"""The key ``form_axis`` of a world: in which forms its facts are compared, in the record of an evaluate cell."""

from collections.abc import Sequence
from typing import Any

from expunge.benchmarks.form_axis import asked_in, on_axis, without_luck
from expunge.core.errors import InputError
from expunge.knowledge.facts import Fact
from expunge.metrics.base import Evidence
from expunge.metrics.forms import FormSpread, WorstForm, by_form
from expunge.models.chat import Encoder
from expunge.models.view import View
from expunge.scoring.probes import score_facts


def check_axis(raw: Any) -> tuple[str, ...]:
    """The key as it stands in a recipe: a form, or a list of forms."""
    names = [raw] if isinstance(raw, str) else raw or []
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) and name for name in names):
        raise InputError(f"form_axis is {raw!r}; name a form or a list of forms, such as [cloze, choice, typo].")
    return tuple(dict.fromkeys(names))


def over_forms(
    view: View, encoder: Encoder, facts: Sequence[Fact], pool: Sequence[Fact], axis: Sequence[str],
    asked: Sequence[str], seed: int,
) -> dict[str, Any]:  # fmt: skip
    """``worst_form`` and ``form_spread`` over the forms ``asked`` and those of ``axis``, and ``form.<form>`` each.

    ``form.<form>`` is greedy match in that form alone. Facts that have none of the forms are left out, and nothing is
    said where none is left. ``pool`` are the facts whose answers stand for wrong ones.
    """
    forms = on_axis(axis, asked, facts)
    made = [fact for fact in asked_in(facts, axis, pool=pool, seed=seed) if fact.of_form(*forms)]
    if not made:
        return {}
    evidence = Evidence(without_luck(score_facts(view, encoder, made, forms)))
    whole = {"worst_form": WorstForm().compute(evidence), "form_spread": FormSpread().compute(evidence)}
    parts = {f"form.{form}": reading for form, reading in by_form(evidence).items()}
    return {name: reading.as_dict() for name, reading in (whole | parts).items()}
