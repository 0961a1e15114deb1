"""Does the true answer outrank other subjects' answers? Read before any attack; a refusal does not hide it."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from expunge.core.errors import InputError
from expunge.knowledge.facts import Fact, Probe
from expunge.models.chat import Encoder
from expunge.models.view import View
from expunge.scoring.permuted import permuted_answers
from expunge.scoring.probes import ProbeScore, ask, score_asked


@dataclass(frozen=True, slots=True)
class Contrast:
    """``wins``: the share of rival answers that the true answer of a probe outranks; a tie counts one half."""

    fact: Fact
    probe: Probe
    wins: float


def contrast(
    view: View,
    encoder: Encoder,
    facts: Sequence[Fact],
    *,
    forms: Sequence[str] = ("qa",),
    rivals: int = 4,
    seed: int = 0,
) -> list[Contrast]:
    """Rank true answers by mean label log-probability against ``rivals`` answers of the same attribute and form.

    Rivals come in pairs of inverse permutations, so a model whose preference among answers does not depend on the
    subject wins exactly half of the comparisons, whatever that preference is. One scoring pass. Documents are left out.
    :class:`InputError` as :func:`permuted_answers`, and when ``rivals`` is not a positive even number.
    """
    if rivals < 2 or rivals % 2:
        raise InputError(f"rivals is {rivals}; it must be a positive even number.")
    facts = [fact for fact in facts if any(probe.prompt for probe in fact.probes)]
    if not facts:
        raise InputError("no fact asks anything, so there are no answers to permute; give prompts.")
    shifts = [sign * step for step in range(1, rivals // 2 + 1) for sign in (1, -1)]
    permuted = [fact for shift in shifts for fact in permuted_answers(facts, seed, shift=shift, least=rivals + 1)]
    true, rival = ask(facts, encoder, forms), ask(permuted, encoder, forms)
    scored = score_asked(view, [*true, *rival])
    against: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for item in scored[len(true) :]:
        against[item.fact.id, item.probe.prompt].append(item.score.nll_mean)
    compared = [(item, against[item.fact.id, item.probe.prompt]) for item in scored[: len(true)]]
    return [Contrast(item.fact, item.probe, _wins(item, others)) for item, others in compared if others]


def _wins(true: ProbeScore, rivals: Sequence[float]) -> float:
    own = true.score.nll_mean
    return sum(1.0 if own < rival else 0.5 if own == rival else 0.0 for rival in rivals) / len(rivals)
