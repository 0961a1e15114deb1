"""Training inside a box: every weight stays within its own reach of where it began."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor
from transformers import PreTrainedModel

from expunge.combine.rounding import outermost, rtn, steps
from expunge.models.matrices import as_rows, block_matrices, outputs_first
from expunge.scopes.base import Gauge, Prepared, Scope, select
from expunge.scopes.masks import Masks, WeightMask
from expunge.smoothing.base import Grads, Problem, Smoother, SmoothingState

Reach = Mapping[str, tuple[Tensor, Tensor]]
"""By name, as the model stores it: where each entry is at least and at most."""


def snap_(model: PreTrainedModel, bits: int, group: int | None) -> None:
    """Put every block matrix on the grid of round-to-nearest."""
    for weight in block_matrices(model).values():
        weight.copy_(rtn(as_rows(weight), bits, group).reshape(weight.shape))


def reach_of(model: PreTrainedModel, bits: int, group: int | None, room: float) -> Reach:
    """``room`` of a grid step either way for every entry of the snapped block matrices; none for the outermost ones.

    The outermost entries of a row set its step: while they stay, and no other comes near them, rounding finds the
    same grid and the same codes.
    """
    found = {}
    for name, weight in block_matrices(model).items():
        rows_OI = as_rows(weight)
        free_OI = room * steps(rows_OI, bits, group) * ~outermost(rows_OI, bits, group)
        bounds = ((rows_OI - free_OI).reshape(weight.shape), (rows_OI + free_OI).reshape(weight.shape))
        owner = model.get_submodule(name.rpartition(".")[0])
        found[name] = outputs_first(owner, bounds[0]), outputs_first(owner, bounds[1])
    return found


@dataclass(frozen=True, kw_only=True)
class Inside(WeightMask):
    """The entries of the block matrices that have any reach."""

    reach: Reach = field(repr=False)

    def masks(self, model: PreTrainedModel, weights: Mapping[str, Tensor], seed: int, gauge: Gauge | None) -> Masks:
        """Where the box is wider than a point."""
        return {name: self.reach[name][0] < self.reach[name][1] for name in weights}


@dataclass(frozen=True, kw_only=True)
class Outside(Scope):
    """Everything but the block matrices: embeddings, norms, biases and the unembedding, which are not rounded."""

    def prepare(self, model: PreTrainedModel, seed: int, gauge: Gauge | None = None) -> Prepared:
        """All other parameters, each tied tensor once."""
        inner = frozenset(block_matrices(model))
        return select(model, lambda name: name not in inner, "what lies outside the block matrices")


@dataclass(frozen=True, kw_only=True)
class Boxed(Smoother):
    """``inner``'s gradient; after every step each weight is put back to the nearest point within its reach."""

    inner: Smoother
    reach: Reach = field(repr=False)

    @property
    def points(self) -> float:
        """The inner smoother's."""
        return self.inner.points

    def streams(self) -> tuple[str, ...]:
        """The inner smoother's."""
        return self.inner.streams()

    def gradient(self, problem: Problem) -> Grads:
        """The inner smoother's gradient."""
        return self.inner.gradient(problem)

    def after_step(self, weights: Mapping[str, Tensor], step: int, total: int, state: SmoothingState) -> None:
        """Back into the box, then whatever the inner smoother does."""
        with torch.no_grad():
            for name, weight in weights.items():
                weight.clamp_(*self.reach[name])
        self.inner.after_step(weights, step, total, state)

    def finish(self, weights: Mapping[str, Tensor], state: SmoothingState) -> None:
        """The inner smoother's end; an average of points inside a box lies inside."""
        self.inner.finish(weights, state)
