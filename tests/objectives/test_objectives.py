"""Every objective's loss and gradient against its literal twin."""

import copy
from collections.abc import Callable

import pytest
import torch

from expunge import registry
from expunge.core.errors import InputError
from expunge.models.view import View
from expunge.objectives.base import Objective, Term
from expunge.training.references import References
from reference import objectives as twin
from reference.tiny_rows import rows, tiny_view

FORGET, RETAIN = rows("f", 4, seed=1), rows("r", 3, seed=2)


def _mean(term: Term) -> torch.Tensor:
    assert not term.weights_B.requires_grad
    return (term.values_B * term.weights_B).sum() / term.weights_B.sum()


def _moved(view: View) -> View:
    """A view of a copy that has moved away, so that θ ≠ θ₀."""
    moved = View(copy.deepcopy(view.model), view.pad_id)
    torch.manual_seed(3)
    with torch.no_grad():
        for weight in moved.model.parameters():
            weight.add_(0.05 * torch.randn_like(weight))
    return moved


def _terms(objective: Objective, original: View, view: View) -> dict[str, torch.Tensor]:
    streams = {"forget": FORGET, "retain": RETAIN, "teach": RETAIN}
    needs = objective.needs()
    refs = References.compute(original, streams, needs)
    batch = {name: view.collate(streams[name]) for name in needs.streams}
    made = [*objective.forget_terms(view, batch, refs, {}), *objective.keep_terms(view, batch, refs, {})]
    return {term.name: _mean(term) for term in made}


def _gradient(loss: torch.Tensor, view: View) -> list[torch.Tensor]:
    return list(torch.autograd.grad(loss, list(view.model.parameters())))


CASES: list[tuple[str, dict[str, object], str, Callable[[View, View], torch.Tensor]]] = [
    ("cross_entropy", {}, "teach_nll", lambda old, new: twin.cross_entropy(new.model, RETAIN)),
    ("gradient_ascent", {}, "forget", lambda old, new: twin.gradient_ascent(new.model, FORGET)),
    ("gradient_difference", {}, "forget", lambda old, new: twin.gradient_ascent(new.model, FORGET)),
    ("gradient_difference", {}, "retain_nll", lambda old, new: twin.cross_entropy(new.model, RETAIN)),
    ("gradient_difference", {"keep": "kl"}, "retain_kl", lambda old, new: twin.kl(new.model, old.model, RETAIN)),
    ("npo", {}, "forget", lambda old, new: twin.npo(new.model, old.model, FORGET, 0.1)),
    ("npo", {"beta": 0.7}, "forget", lambda old, new: twin.npo(new.model, old.model, FORGET, 0.7)),
    ("npo", {"keep": "kl"}, "retain_kl", lambda old, new: twin.kl(new.model, old.model, RETAIN)),
    ("simnpo", {}, "forget", lambda old, new: twin.simnpo(new.model, FORGET, 4.5, 0.0)),
    ("simnpo", {"delta": 0.3, "beta": 1.5}, "forget", lambda old, new: twin.simnpo(new.model, FORGET, 1.5, 0.3)),
]


@pytest.mark.parametrize(("name", "parameters", "term", "expected"), CASES)
def test_a_term_and_its_gradient_equal_the_literal_twin(
    name: str, parameters: dict[str, object], term: str, expected: Callable[[View, View], torch.Tensor]
) -> None:
    original = tiny_view()
    view = _moved(original)
    ours = _terms(registry.build("objective", name, **parameters), original, view)[term]
    literal = expected(original, view)
    torch.testing.assert_close(ours, literal, rtol=2e-5, atol=2e-5)
    for mine, slow in zip(_gradient(ours, view), _gradient(literal, view), strict=True):
        torch.testing.assert_close(mine, slow, rtol=2e-3, atol=2e-5)


def test_every_objective_has_a_twin_here() -> None:
    assert {name for name, *_ in CASES} == {entry.name for entry in registry.entries("objective")}


def test_kl_to_itself_is_zero_and_npo_at_the_start_is_two_log_two_over_beta() -> None:
    original = tiny_view()
    terms = _terms(registry.build("objective", "npo", keep="kl", beta=0.5), original, original)
    assert terms["retain_kl"].item() == pytest.approx(0, abs=1e-6)
    assert terms["forget"].item() == pytest.approx(2 / 0.5 * torch.log(torch.tensor(2.0)).item(), rel=1e-5)


def test_npo_does_not_change_when_a_constant_is_added_to_all_logits() -> None:
    """The raw-logit variant of public code fails this: it is no function of the model's distribution."""
    original = tiny_view()
    view = _moved(original)
    before = _terms(registry.build("objective", "npo"), original, view)["forget"]
    view.anatomy.head.register_forward_hook(lambda module, args, logits: logits + 3)
    after = _terms(registry.build("objective", "npo"), original, view)["forget"]
    torch.testing.assert_close(before, after, rtol=1e-5, atol=1e-5)


def test_npo_tends_to_gradient_ascent_as_beta_falls() -> None:
    original = tiny_view()
    view = _moved(original)
    npo = _gradient(_terms(registry.build("objective", "npo", beta=1e-4), original, view)["forget"], view)
    summed = sum(-sum(twin.token_logprobs(view.model, row)) for row in FORGET) / len(FORGET)
    for mine, ascent in zip(npo, _gradient(-summed, view), strict=True):
        torch.testing.assert_close(mine, ascent, rtol=5e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["npo", "simnpo", "gradient_difference"])
def test_without_alpha_the_retain_stream_is_not_needed(name: str) -> None:
    objective = registry.build("objective", name, alpha=0, keep="kl")
    assert objective.needs().streams == ("forget",)
    assert "retain" not in objective.needs().references
    assert objective.keep_terms(tiny_view(), {}, None, {}) == []


@pytest.mark.parametrize(("name", "bad"), [("npo", {"beta": 0}), ("npo", {"keep": "l2"}), ("simnpo", {"alpha": -1})])
def test_bad_hyper_parameters_are_refused_by_name(name: str, bad: dict[str, object]) -> None:
    with pytest.raises(InputError, match=next(iter(bad))):
        registry.build("objective", name, **bad)
