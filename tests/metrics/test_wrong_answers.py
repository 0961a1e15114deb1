"""Wrong answers that facts carry: the truth ratio, the normalised probability and forget quality of any world."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from expunge.knowledge.facts import Fact
from expunge.metrics import wrong_answers
from expunge.metrics.base import Evidence, Reading
from expunge.metrics.evidence import Lent, gather
from expunge.metrics.truth_ratio import PERTURBED, sides
from expunge.models.load import LoadedModel
from expunge.models.view import View
from expunge.registry import build
from expunge.scoring.probes import ProbeScore
from reference import tofu_suite as twins
from reference.metrics_world import TOWNS, facts, tiny
from reference.readout import knows


def with_wrong(wanted: Sequence[Fact]) -> tuple[Fact, ...]:
    """Every question with two other towns; the last fact has none."""
    return tuple(
        replace(fact, probes=tuple(replace(p, perturbed=_others(p.answer)) for p in fact.probes))
        for fact in wanted[:-1]
    ) + tuple(wanted[-1:])


def _others(answer: str) -> tuple[str, ...]:
    return tuple(town for town in TOWNS if town != answer)[:2]


FACTS = with_wrong(facts(0, 6))


def evidence(loaded: LoadedModel, control: View | Lent | None = None, forms: Sequence[str] = ("qa",)) -> Evidence:
    return gather(loaded.view(), loaded.encoder, FACTS, forms=forms, needs=(), control=control)


def score(view: View) -> Sequence[ProbeScore]:
    found = gather(view, tiny().encoder, FACTS, forms=("qa",), needs=()).wrong_answers
    assert found is not None
    return found.scored()


def reading(name: str, found: Evidence) -> Reading:
    return build("metric", name).compute(found)


def test_each_question_is_the_twin_of_a_row_with_its_answers_alone() -> None:
    loaded, found = tiny(), evidence(tiny(), forms=("qa", "cloze"))
    expected, shares = [], []
    for fact in FACTS[:-1]:
        probe = fact.probes[0]
        right, *wrong = (
            twins.probability(twins.statistics(loaded, probe.prompt, text)[1])
            for text in (probe.answer, *probe.perturbed)
        )
        expected.append(twins.truth_ratio([right], wrong, "closer_to_1_better", 0.0))
        shares.append(right / (right + sum(wrong)))
    assert [row.value for row in build("metric", "truth_ratio").rows(found)] == pytest.approx(expected, rel=1e-4)
    assert [row.value for row in build("metric", "probability_normalised").rows(found)] == pytest.approx(shares, 1e-4)
    assert PERTURBED not in {item.probe.form for item in found.scores or ()}, "other metrics never see a wrong answer"


def test_nothing_is_scored_before_it_is_read_and_then_once(monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[int] = []
    real = wrong_answers.score_asked
    monkeypatch.setattr(wrong_answers, "score_asked", lambda view, asked: passes.append(1) or real(view, asked))
    found = evidence(tiny())
    assert not passes
    for name in ("truth_ratio", "probability_normalised"):
        assert reading(name, found).n == len(FACTS) - 1
    assert len(passes) == 1


def test_forget_quality_is_the_test_between_both_models_ratios() -> None:
    never_knew = knows().view()
    found = evidence(tiny(), never_knew)
    own, never = ([pair.log_ratio for pair in sides(score(view))] for view in (tiny().view(), never_knew))
    assert reading("forget_quality", found).value == pytest.approx(twins.ks_p_value(own, never))
    same = reading("forget_quality", evidence(tiny(), tiny().view()))
    assert same.value == 1.0 and same.n == len(FACTS) - 1


def test_what_is_missing_is_said() -> None:
    assert reading("forget_quality", evidence(tiny())).reason == (
        "not computed: no model that never knew the facts is at hand."
    )
    bare = gather(tiny().view(), tiny().encoder, facts(0, 3), needs=(), control=tiny().view())
    assert reading("forget_quality", bare).reason == "not computed: no question has wrong answers."
    assert reading("truth_ratio", bare).reason == "not computed: no row that this metric can judge."
