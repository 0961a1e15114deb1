"""Forward and backward of one role over a step's micro-batches; gradients land in ``weight.grad``.

The mean of a term is Σ w·v / Σ w over all rows of the step, whatever the micro-batches and ranks. One micro-batch
divides directly. Several cannot know Σ w in time, so each term's Σ w·v is differentiated as it stands and divided at
the end.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import Parameter

from expunge.distributed.ranks import ALONE, Ranks
from expunge.distributed.shards import add_up_
from expunge.objectives.base import Term
from expunge.training.batches import AbsentStream, MicroBatch

# Terms of micro-batch ``index``; the index chooses the random state of its forward pass.
TermsOf = Callable[[MicroBatch, int], list[Term]]
Weights = Mapping[str, Parameter]


def role_pass(
    terms_of: TermsOf,
    micros: Sequence[MicroBatch],
    weights: Weights,
    scale: Mapping[str, float],
    ranks: Ranks = ALONE,
) -> dict[str, float]:
    """Add ∇ Σ_terms λ·mean(term) to ``weight.grad``; ``scale`` is λ by term name, 1 where absent.

    Returns the mean of each term, without λ; empty when the role has no term. With several ``ranks`` each runs its
    own micro-batches; gradients and means are those of all rows.
    """
    run = _one_pass if len(micros) == 1 else _many_passes
    if ranks.size == 1:
        return run(terms_of, micros, weights, scale, ranks)
    before = {name: weight.grad for name, weight in weights.items()}
    put_grads(weights, {})
    means = run(terms_of, micros, weights, scale, ranks)
    add_up_(weights)
    _add_grads(weights, before, 1.0)
    return means


def take_grads(weights: Weights) -> dict[str, Tensor]:
    """Move the gradients out of ``weight.grad``, by name; a weight without one gets zeros."""
    grads = {name: torch.zeros_like(weight) if weight.grad is None else weight.grad for name, weight in weights.items()}
    put_grads(weights, {})
    return grads


def put_grads(weights: Weights, grads: Mapping[str, Tensor | None]) -> None:
    """Make ``grads`` the weights' gradients, without a copy; later passes add to them. Absent means none."""
    for name, weight in weights.items():
        weight.grad = grads.get(name)


def _weighted_sum(term: Term) -> tuple[Tensor, float]:
    return (term.values_B * term.weights_B).sum(), float(term.weights_B.sum())


def _one_pass(
    terms_of: TermsOf, micros: Sequence[MicroBatch], weights: Weights, scale: Mapping[str, float], ranks: Ranks
) -> dict[str, float]:
    sums = {term.name: _weighted_sum(term) for term in terms_of(micros[0], 0)}
    all_weights = ranks.sums([weight for _, weight in sums.values()])
    means = {
        name: total / (weight or 1.0) for (name, (total, _)), weight in zip(sums.items(), all_weights, strict=True)
    }
    if means:
        torch.stack([scale.get(name, 1.0) * mean for name, mean in means.items()]).sum().backward()  # type: ignore[no-untyped-call]
    return dict(zip(means, ranks.sums([float(mean.detach()) for mean in means.values()]), strict=True))


def _many_passes(
    terms_of: TermsOf, micros: Sequence[MicroBatch], weights: Weights, scale: Mapping[str, float], ranks: Ranks
) -> dict[str, float]:
    before = {name: weight.grad for name, weight in weights.items()}
    stores: dict[str, dict[str, Tensor | None]] = {}
    sums: dict[str, tuple[float, float]] = {}
    for index, micro in enumerate(micros):
        try:
            terms = terms_of(micro, index)
        except AbsentStream:
            continue
        for position, term in enumerate(terms):
            total, weight = _weighted_sum(term)
            put_grads(weights, stores.get(term.name, {}))
            total.backward(retain_graph=position + 1 < len(terms))  # type: ignore[no-untyped-call]
            stores[term.name] = {name: weight.grad for name, weight in weights.items()}
            old = sums.get(term.name, (0.0, 0.0))
            sums[term.name] = old[0] + float(total.detach()), old[1] + weight
    put_grads(weights, before)
    totals = ranks.sums([number for pair in sums.values() for number in pair])
    sums = dict(zip(sums, zip(totals[::2], totals[1::2], strict=True), strict=True))
    for name, store in stores.items():
        _add_grads(weights, store, scale.get(name, 1.0) / (sums[name][1] or 1.0))
    return {name: total / (weight or 1.0) for name, (total, weight) in sums.items()}


def _add_grads(weights: Weights, grads: Mapping[str, Tensor | None], factor: float) -> None:
    """``weight.grad += factor · grad``; takes over ``grads`` where there was nothing to add to."""
    for name, weight in weights.items():
        grad = grads[name]
        if grad is None:
            continue
        weight.grad = grad.mul_(factor) if weight.grad is None else weight.grad.add_(grad, alpha=factor)
