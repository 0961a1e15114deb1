"""Linear probes: they read what only the last block hides, and nothing from a model that never knew."""

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from expunge.attacks.base import AttackPoint
from expunge.attacks.linear_probe import CONTROL, LinearProbe
from expunge.attacks.linear_probe_fit import fit, objective
from expunge.attacks.linear_probe_known import shuffled
from expunge.core.errors import InputError
from expunge.knowledge.facts import Fact, Knowledge, Probe, Split
from expunge.models.load import LoadedModel
from expunge.scoring.label_states import label_states, opening, question_states, without_end
from expunge.scoring.teacher_forced import LOWEST_LOGPROB
from reference.prompts import useful
from reference.readout import asked, fact, hides, knowledge, knows, never_trained, plain_minimum, plain_states, split


def run(attack: LinearProbe, loaded: LoadedModel, **changes: Any) -> list[AttackPoint]:
    given = {"knowledge": knowledge(), "split": split(), "seed": 3} | changes
    return attack.run(loaded, given.pop("knowledge"), given.pop("split"), useful, **given)


def with_answers(facts: tuple[Fact, ...], answer: str) -> tuple[Fact, ...]:
    return tuple(replace(each, probes=tuple(replace(p, answer=answer) for p in each.probes)) for each in facts)


def noise(rows: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(seed))


def test_what_the_last_block_hides_is_read_before_it() -> None:
    before, first, _ = run(LinearProbe(), hides())
    assert before.mean_score() == 0 and first.mean_score() >= 0.8
    assert first.mean_score() - first.mean_score(CONTROL) >= 0.6, "selectivity"
    assert (first.id, first.t_recall) == ("both/linear_probe/0/1", None)


def test_a_model_that_never_knew_gives_no_more_than_its_control_task() -> None:
    for point in run(LinearProbe(), never_trained())[1:]:
        assert point.mean_score() <= 0.25 and point.mean_score() - point.mean_score(CONTROL) <= 0.17


def test_an_answer_that_no_known_fact_has_is_read_token_by_token() -> None:
    """Known facts that share the V answer's shade or its colour, never both."""
    (mine,) = (fact(next(n for n in range(8, 20))),)
    answer = mine.probes[0].answer
    others = tuple(each for each in knowledge().retain_train if each.probes[0].answer != answer)
    world = Knowledge("coats", (), others)
    _, first, _ = run(LinearProbe(sources=("retain",)), hides(), knowledge=world, split=Split((), (mine,)))
    assert answer not in {each.probes[0].answer for each in others} and first.mean_score() == 1


def test_T_alone_and_retain_alone_are_sources() -> None:
    points = run(LinearProbe(sources=("T", "retain"), layers=(0,)), hides())
    assert [point.source for point in points] == ["", "T", "retain"]
    assert points[2].mean_score() > 0.5
    alone = Knowledge("coats", knowledge().forget)
    both = run(LinearProbe(layers=(0,)), hides(), knowledge=alone)[1]
    assert [p.logprob for p in both.probes if p.split == "V"] == [p.logprob for p in points[1].probes if p.split == "V"]
    with pytest.raises(InputError, match="'retain' has no fact"):
        run(LinearProbe(sources="retain"), hides(), knowledge=alone)  # type: ignore[arg-type]


def test_unknown_answers_are_misses_and_none_known_is_refused() -> None:
    cut = split()
    odd = with_answers(cut.score[:3], "Lunka Reedo")
    _, first, _ = run(LinearProbe(), hides(), split=Split(cut.train, (*odd, *cut.score[3:])))
    missed = [probe for probe in first.probes if probe.fact in {each.id for each in odd}]
    assert len(missed) == 6 and all(not probe.hit and probe.logprob == LOWEST_LOGPROB for probe in missed)
    assert any(probe.hit for probe in first.probes)
    with pytest.raises(InputError, match="no V answer is made of tokens"):
        run(LinearProbe(), hides(), split=Split(cut.train, odd))
    same = replace(knowledge(), retain_train=with_answers(knowledge().retain_train, "pale red"), retain_eval=())
    with pytest.raises(InputError, match="no V answer"):
        run(LinearProbe(sources=("retain",)), hides(), knowledge=same)


def test_further_sets_are_read_by_the_same_probes() -> None:
    own, wrong = split().score[:6], with_answers(split().score[:6], "pale red")
    _, first, _ = run(LinearProbe(), hides(), also_score={"P": own, "Q": wrong})
    expected = {probe.fact: probe for probe in first.probes if probe.split == "V"}
    for probe in first.probes:
        if probe.split == "P":
            assert probe.hit == expected[probe.fact].hit
            assert probe.logprob == pytest.approx(expected[probe.fact].logprob, abs=1e-4)
    assert first.mean_score("Q") < first.mean_score("P")


def test_known_facts_about_a_V_subject_are_refused() -> None:
    twin = replace(fact(9), id="again", attribute="hat")
    world = replace(knowledge(), retain_train=(*knowledge().retain_train, twin))
    with pytest.raises(InputError, match="share the subject"):
        run(LinearProbe(), hides(), knowledge=world)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"layers": ()}, "empty"), ({"forms": ()}, "empty"), ({"sources": ("retian",)}, "did you mean 'retain'"),
        ({"ridge": 0.0}, "above 0"), ({"samples": 1}, "at least 2"),
    ],
)  # fmt: skip
def test_impossible_choices_are_refused(params: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        LinearProbe(**params)


def test_a_layer_that_is_not_there_is_refused() -> None:
    with pytest.raises(InputError, match="choose 0 to 1"):
        run(LinearProbe(layers=(2,)), never_trained())


def test_the_model_is_left_as_it_was() -> None:
    loaded = hides()
    start = [weight.clone() for weight in loaded.model.parameters()]
    run(LinearProbe(layers=(0,)), loaded)
    assert all(torch.equal(old, new) for old, new in zip(start, loaded.model.parameters(), strict=True))
    assert not any(module._forward_hooks for module in loaded.model.modules())


def test_the_control_task_keeps_every_answer_and_gives_none_to_its_subject() -> None:
    facts = tuple(replace(fact(n), attribute=("coat", "hat")[n % 2]) for n in range(20, 48))
    mixed = shuffled(facts, ("qa", "cloze"), 5)
    assert [each.id for each in mixed] == [each.id for each in facts]
    for attribute in ("coat", "hat"):
        count = [Counter(f.probes[0].answer for f in side if f.attribute == attribute) for side in (facts, mixed)]
        assert count[0] == count[1]
    assert all(len({probe.answer for probe in each.probes}) == 1 for each in mixed), "all forms from one donor"
    moved = [old.probes[0].answer != new.probes[0].answer for old, new in zip(facts, mixed, strict=True)]
    assert sum(moved) > len(moved) / 2 and shuffled(facts, ("qa",), 5) != shuffled(facts, ("qa",), 6)


def test_states_are_those_of_a_plain_pass_and_have_not_seen_the_token() -> None:
    loaded = hides()
    rows = [without_end(item.row, loaded.encoder.end_ids) for item in asked(range(5))]
    for row, states_LND in zip(rows, label_states(loaded.view(), rows, (0, 1)), strict=True):
        plain = plain_states(loaded.model, row)
        assert states_LND.shape[1] == row.num_labels == len(plain)
        for token, layers in enumerate(plain):
            for layer, state_D in enumerate(layers):
                torch.testing.assert_close(states_LND[layer, token], state_D, atol=1e-4, rtol=1e-4)
    other = replace(rows[0], ids=(*rows[0].ids[:-2], *rows[1].ids[-2:]))
    first = rows[0].labels.index(True)
    assert len(opening(rows[0]).ids) == first + 1
    both = question_states(loaded.view(), [rows[0], other], (0, 1))
    torch.testing.assert_close(both[0], both[1], atol=1e-5, rtol=1e-5)


def test_the_fit_is_the_optimum_that_scipy_finds() -> None:
    states, tokens = noise(40, 5), torch.tensor([7, 3, 9, 3] * 10)
    states[tokens == 3] += 0.7
    found = fit(states, tokens, 0.02)
    features = (states - found.mean_D) * found.scale_D
    targets = torch.searchsorted(found.classes_C, tokens)
    plain = plain_minimum(features.double().numpy(), targets.numpy(), 3, 0.02)
    np.testing.assert_allclose(found.logprobs(states).exp().numpy(), plain, atol=2e-4)
    assert found.classes_C.tolist() == [3, 7, 9]
    np.testing.assert_allclose((features.square().sum(1)).mean(), 1.0, rtol=1e-4)


def test_the_objective_and_its_gradient_are_the_written_formulas() -> None:
    weight, bias, features = noise(3, 4, 1).requires_grad_(), noise(3, 1, 2)[:, 0].requires_grad_(), noise(6, 4, 3)
    targets = torch.tensor([0, 1, 2, 2, 1, 0])
    loss = objective(weight, bias, features, targets, 0.3)
    loss.backward()
    probs = (features @ weight.detach().T + bias.detach()).softmax(-1)
    expected = -probs[range(6), targets].log().mean() + 0.15 * weight.detach().square().sum()
    errors = probs - torch.eye(3)[targets]
    torch.testing.assert_close(loss.detach(), expected)
    torch.testing.assert_close(weight.grad, errors.T @ features / 6 + 0.3 * weight.detach())
    torch.testing.assert_close(bias.grad, errors.mean(0))


def test_a_rescaled_stream_reads_the_same_and_a_still_feature_says_nothing() -> None:
    states, tokens = noise(30, 6), torch.tensor([0, 1, 2] * 10)
    states[:, 0] += tokens
    scale = torch.tensor([1e-3, 50.0, 1.0, 7.0, 0.2, 1e3])
    plain, scaled = fit(states, tokens, 1e-2), fit(states * scale + 4.0, tokens, 1e-2)
    torch.testing.assert_close(plain.logprobs(states), scaled.logprobs(states * scale + 4.0), atol=5e-3, rtol=5e-3)
    still = torch.cat([states, torch.full((30, 1), 3.0)], 1)
    moved = still.clone()
    moved[:, -1] = 100.0
    readout = fit(still, tokens, 1e-2)
    assert torch.equal(readout.logprobs(still), readout.logprobs(moved))


def test_documents_ask_nothing() -> None:
    text = Fact("d", "d", (Probe("", "the rain fell on the hill all day", "passage"),), "coat")
    world = replace(knowledge(), retain_train=(*knowledge().retain_train, text))
    assert run(LinearProbe(layers=(0,)), knows(), knowledge=world)[1].mean_score() > 0.5
