"""Utility against its definition, and evidence gathering on the tiny model."""

import copy
import math
from dataclasses import replace

import pytest
import torch

from expunge.core.errors import InputError
from expunge.knowledge.facts import Fact, Probe
from expunge.metrics.evidence import gather, metric_named
from expunge.metrics.utility import Levels, Utility, baseline, levels
from expunge.models.view import View
from expunge.scoring.generate import generate
from expunge.scoring.probes import ask
from expunge.scoring.teacher_forced import score
from reference.metrics_world import facts, knowledge, tiny

TEXTS = tuple(Fact(text, text, (Probe("", text, "passage"),)) for text in ("a hill", "the long rain"))


def moved() -> View:
    """The tiny model with noise on its weights."""
    other = copy.deepcopy(tiny().model)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in other.parameters():
            weight.add_(0.05 * torch.randn(weight.shape, generator=generator))
    return View(other, tiny().view().pad_id)


def known_fact() -> Fact:
    """A fact whose answer contains what the tiny model says."""
    loaded = tiny()
    (text,) = generate(loaded.view(), loaded.encoder, ["Say?"], max_new_tokens=3)
    return Fact("k", "k", (Probe("Say?", text or "x"),))


def test_the_original_has_utility_one() -> None:
    loaded = tiny()
    found = baseline(loaded.view(), loaded.encoder, facts(0, 2), TEXTS)(loaded.view())
    assert found.value == pytest.approx(1.0, abs=1e-6) and found.parts["samples"] == pytest.approx(1.0, abs=1e-6)


def test_the_samples_part_is_the_change_of_token_weighted_nll() -> None:
    loaded, other = tiny(), moved()
    rows = [item.row for item in ask(TEXTS, loaded.encoder)]

    def nll(view: View) -> float:
        logs = [value for row in score(view, rows) for value in row.logprobs]
        return -sum(logs) / len(logs)

    found = baseline(loaded.view(), loaded.encoder, (), TEXTS)(other)
    assert found.parts["samples"] == pytest.approx(min(1.0, math.exp(nll(loaded.view()) - nll(other))))
    backwards = baseline(other, loaded.encoder, (), TEXTS)(loaded.view())
    assert 1.0 in (found.value, backwards.value) and min(found.value, backwards.value) < 1.0, "capped at 1"


def test_the_least_part_counts_and_impossible_parts_are_none() -> None:
    loaded = tiny()
    now = levels(loaded.view(), loaded.encoder, (), ask(TEXTS, loaded.encoder), False)
    assert now.recall is None and now.containment is None and now.sample_nll is not None
    questions = tuple(ask(facts(0, 2), loaded.encoder, ("qa",)))
    measure = Utility(loaded.encoder, questions, (), Levels(0.5, None, None), measure_generation=False)
    found = measure(loaded.view())
    assert found.parts == {"recall": 0.0, "generated": None, "samples": None} and found.value == 0.0
    better = Levels(None, None, now.sample_nll - 1.0)
    other = replace(measure, sample_asked=tuple(ask(TEXTS, loaded.encoder)), eval_asked=(), standard=better)
    assert other(loaded.view()).value == pytest.approx(math.exp(-1.0))


def test_generated_answers_count_where_they_contain_the_answer() -> None:
    loaded = tiny()
    fact = known_fact()
    found = levels(loaded.view(), loaded.encoder, ask([fact, *facts(0, 1)], loaded.encoder, ("qa",)), (), True)
    assert found.containment == pytest.approx(0.5)
    assert levels(loaded.view(), loaded.encoder, ask([fact], loaded.encoder), (), False).containment is None


@pytest.mark.parametrize(("original", "expected"), [(1.0, 0.5), (0.5, 1.0), (0.25, 1.0), (0.8, 0.625)])
def test_a_ratio_is_against_the_original_and_capped(original: float, expected: float) -> None:
    loaded = tiny()
    questions = tuple(ask([known_fact(), *facts(0, 1)], loaded.encoder, ("qa",)))
    measure = Utility(loaded.encoder, questions, (), Levels(None, original, None), measure_generation=True)
    assert measure(loaded.view()).parts["generated"] == pytest.approx(expected)


def test_nothing_to_measure_is_refused() -> None:
    with pytest.raises(InputError, match="nothing to measure"):
        baseline(tiny().view(), tiny().encoder, facts(0, 2), (), measure_generation=False)


def test_a_document_is_asked_by_its_continuation_and_not_contrasted() -> None:
    loaded = tiny()
    text = Fact("text", "text", (Probe("", "one two three four five six seven eight", "passage"),))
    found = gather(loaded.view(), loaded.encoder, (*facts(0, 10), text), needs=("scores", "generations", "contrasts"))
    assert found.scores is not None and found.generations is not None and found.contrasts is not None
    assert found.scores[-1].probe == Probe("one two three four", "five six seven eight", "continuation")
    assert found.generations[-1] is not None
    assert {item.fact.id for item in found.contrasts} == {fact.id for fact in facts(0, 10)}


def test_gathered_evidence_feeds_every_metric() -> None:
    loaded, other = tiny(), moved()
    needs = ("scores", "generations", "divergences", "contrasts")
    found = gather(other, loaded.encoder, facts(0, 10), forms=("qa",), needs=needs, original=loaded.view())
    for name in ("greedy_match", "probability", "rouge_l_recall", "containment", "retain_kl", "contrast"):
        assert metric_named(name).compute(found).value is not None, name
    assert metric_named("retain_kl").compute(found).value > 0
    few = gather(loaded.view(), loaded.encoder, knowledge().retain_train, needs=("scores", "contrasts"))
    assert "needs 5" in (metric_named("contrast").compute(few).reason or "")
    assert metric_named("retain_kl").compute(few).reason == "not computed: the original model is not at hand."


def test_a_document_asks_nothing() -> None:
    loaded = tiny()
    found = gather(loaded.view(), loaded.encoder, TEXTS, needs=("scores", "generations"))
    assert found.generations == [None, None] and metric_named("containment").compute(found).value is None


def test_what_a_control_does_not_do_either_is_not_asked() -> None:
    """By the common standard both the original and a control that writes its text less readily have utility 1."""
    encoder, texts = tiny().encoder, ask(TEXTS, tiny().encoder)

    def nll(view: View) -> float:
        return levels(view, encoder, (), texts, False).sample_nll or 0.0

    original, control = sorted((tiny().view(), moved()), key=nll)
    measure = baseline(original, encoder, (), TEXTS)
    within = measure.within_reach(control)
    assert measure(control).value == pytest.approx(math.exp(nll(original) - nll(control)))
    assert measure(control).value < 1
    assert within(control).value == pytest.approx(1.0) and within(original).value == pytest.approx(1.0)
    assert within.standard.sample_nll == pytest.approx(nll(control))


def test_a_control_that_can_do_nothing_sets_no_standard() -> None:
    loaded = tiny()
    measure = baseline(loaded.view(), loaded.encoder, [known_fact()], ())
    mute = copy.deepcopy(loaded.model)
    with torch.no_grad():
        for weight in mute.parameters():
            weight.zero_()
    assert measure.within_reach(View(mute, loaded.view().pad_id)).standard == measure.standard
