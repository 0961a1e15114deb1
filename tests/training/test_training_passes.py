"""Accumulation: one micro-batch of four equals four of one, for token- and row-weighted means."""

from collections.abc import Mapping

import pytest
import torch

from expunge.models.rows import Row
from expunge.models.view import View
from expunge.objectives.base import Term
from expunge.objectives.gradient_difference import GradientDifference
from expunge.objectives.keep import nll_term
from expunge.objectives.simnpo import SimNPO
from expunge.training.batches import MicroBatch, micro_rows
from expunge.training.passes import role_pass, take_grads
from expunge.training.references import References
from reference.objectives import cross_entropy, simnpo
from reference.tiny_rows import rows, tiny_view

ROWS = {"forget": rows("f", 4, seed=1), "retain": rows("r", 4, seed=2)}


def _micros(view: View, streams: Mapping[str, list[Row]], size: int | None) -> list[MicroBatch]:
    cut = micro_rows(streams, size)
    return [MicroBatch({name: view.collate(part) for name, part in parts.items()}) for parts in cut]


def _forget_and_keep(view: View, micros: list[MicroBatch], objective: SimNPO | GradientDifference) -> tuple:
    weights, refs, scale = view.named_weights(), References(view), objective.coefficients(0, 0, {})
    means = role_pass(lambda b, i: objective.forget_terms(view, b, refs, {}), micros, weights, scale)
    means |= role_pass(lambda b, i: objective.keep_terms(view, b, refs, {}), micros, weights, scale)
    return means, take_grads(weights)


@pytest.mark.parametrize("objective", [SimNPO(), GradientDifference(alpha=0.7)])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_micro_batches_do_not_change_means_or_gradients(objective: SimNPO | GradientDifference, size: int) -> None:
    assert len({row.num_labels for row in ROWS["forget"]}) > 1
    view = tiny_view()
    means, grads = _forget_and_keep(view, _micros(view, ROWS, None), objective)
    cut_means, cut_grads = _forget_and_keep(view, _micros(view, ROWS, size), objective)
    assert cut_means == pytest.approx(means, rel=1e-5)
    for name, grad in grads.items():
        torch.testing.assert_close(cut_grads[name], grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("size", [None, 1])
def test_the_sum_of_roles_is_the_gradient_of_the_literal_loss(size: int | None) -> None:
    view = tiny_view()
    _, grads = _forget_and_keep(view, _micros(view, ROWS, size), SimNPO(alpha=0.7))
    loss = 0.125 * simnpo(view.model, ROWS["forget"], 4.5, 0) + 0.7 * cross_entropy(view.model, ROWS["retain"])
    literal = torch.autograd.grad(loss, list(view.named_weights().values()))
    for mine, slow in zip(grads.values(), literal, strict=True):
        torch.testing.assert_close(mine, slow, rtol=2e-3, atol=2e-5)


@pytest.mark.parametrize("size", [1, 2])
def test_several_terms_of_one_role_with_unlike_weights_are_exact(size: int) -> None:
    view = tiny_view()

    def both(batch: MicroBatch, index: int) -> list[Term]:
        token = nll_term(view, batch["forget"], "token")
        row_values_B = view.forward(batch["forget"]).nll_sum_B()
        return [token, Term("row", "keep", row_values_B**2, torch.ones_like(row_values_B))]

    def run(cut: int | None) -> tuple:
        weights = view.named_weights()
        return role_pass(both, _micros(view, ROWS, cut), weights, {"row": 0.3}), take_grads(weights)

    (means, grads), (cut_means, cut_grads) = run(None), run(size)
    assert cut_means == pytest.approx(means, rel=1e-5)
    for name, grad in grads.items():
        torch.testing.assert_close(cut_grads[name], grad, rtol=1e-4, atol=1e-4)


def test_streams_of_unlike_size_are_cut_without_losing_a_row() -> None:
    view = tiny_view()
    streams = {"forget": ROWS["forget"], "retain": ROWS["retain"][:1]}
    means, grads = _forget_and_keep(view, _micros(view, streams, None), SimNPO())
    cut_means, cut_grads = _forget_and_keep(view, _micros(view, streams, 1), SimNPO())
    assert cut_means == pytest.approx(means, rel=1e-5)
    for name, grad in grads.items():
        torch.testing.assert_close(cut_grads[name], grad, rtol=1e-4, atol=1e-6)
