"""The smoothing contract: how the forget gradient is made robust to perturbation."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from expunge.distributed.shards import any_sharded, locals_of, summed
from expunge.models.rows import Batch

Grads = dict[str, Tensor]
WeightDelta = Mapping[str, Tensor]
SmoothingState = dict[str, Tensor]
"""What a smoother carries from step to step, by a name of its own; it is kept in checkpoints."""


@dataclass(frozen=True, slots=True)
class ActivationPerturbation:
    """``function(hidden_BTD) -> hidden_BTD`` applied at ``site`` (see :meth:`expunge.models.view.View.perturb`)."""

    site: str
    function: Callable[[Tensor], Tensor]


Where = WeightDelta | ActivationPerturbation | tuple[ActivationPerturbation, ...] | None
"""A point at which a gradient is taken; ``None`` is the model as it is."""


class Problem(Protocol):
    """One optimizer step's forget loss, as a function of where it is evaluated."""

    @property
    def weights(self) -> Mapping[str, Tensor]:
        """The fp32 master weights inside the scope, by name. Read only."""
        ...

    @property
    def seed(self) -> int:
        """A seed of this step's own, for draws."""
        ...

    @property
    def num_layers(self) -> int:
        """Number of decoder layers."""
        ...

    @property
    def running(self) -> Batch:
        """The batch whose forward pass is under way; for the function of an activation perturbation."""
        ...

    def layer_of(self, name: str) -> int | None:
        """The decoder layer that a weight lies in; ``None`` for embedding, final norm and unembedding."""
        ...

    def grad(self, at: Where = None, *, exact: bool = False) -> Grads:
        """∇ of the forget loss, named, reduced, fp32, inside the scope; at ``weights + at`` or under perturbation.

        Runs forward and backward micro-batch by micro-batch on the same rows, references and random state, and
        leaves the weights bit for bit as they were. A tensor that requires a gradient and enters an activation
        perturbation finds the gradient of the forget loss in its ``.grad``. With ``exact`` the passes compute in fp32
        whatever the run does: differences of gradients are smaller than bf16's rounding.
        """
        ...

    def project(self, tensors: dict[str, Tensor], /) -> dict[str, Tensor]:
        """Named tensors, zero where the scope lets nothing move; gradients come projected already."""
        ...

    def attack_grad(self, at: Where = None) -> Grads:
        """∇ of the label NLL of this step's forget rows: what a relearning attacker descends. Else as ``grad``."""
        ...

    def hidden_MD(self, stream: str, site: str) -> Tensor:
        """Activations at ``site`` of this step's rows of ``stream``, at all M real positions, without gradient."""
        ...

    def hidden_means(self, stream: str, sites: Sequence[str]) -> dict[str, Tensor]:
        """The mean of :meth:`hidden_MD` over positions, for several sites in one pass over the rows."""
        ...


@dataclass(frozen=True, kw_only=True)
class Smoother:
    """Base of all smoothers; fields are the hyper-parameters. The base itself is plain (``none``)."""

    paper: ClassVar[str] = ""
    equation: ClassVar[str] = ""
    family: ClassVar[str] = ""

    @property
    def points(self) -> float:
        """Forward-backward passes over the forget rows that one step takes."""
        return 1.0

    def streams(self) -> tuple[str, ...]:
        """Streams that are read besides the objective's own."""
        return ()

    def gradient(self, problem: Problem) -> Grads:
        """The forget gradient that the loop uses."""
        return problem.grad()

    def after_step(self, weights: Mapping[str, Tensor], step: int, total: int, state: SmoothingState) -> None:
        """Called after optimizer step ``step`` (from 1) of at most ``total`` with the live weights."""

    def finish(self, weights: Mapping[str, Tensor], state: SmoothingState) -> None:
        """Called once at the end; may overwrite the weights in place (averaging)."""


def global_norm(tensors: Mapping[str, Tensor]) -> Tensor:
    """The one L2 norm over all tensors and ranks, fp32 scalar; the tensors are fp32."""
    norms = torch.stack(torch._foreach_norm(locals_of(tensors.values())))
    norm: Tensor = torch.linalg.vector_norm(norms)
    return summed(norm.square(), tensors.values()).sqrt() if any_sharded(tensors.values()) else norm


def scale_(tensors: Grads, length: float, eps: float = 1e-12) -> Grads:
    """``tensors`` scaled in place to the global norm ``length``; zeros stay zeros, as ``eps`` is in the denominator."""
    torch._foreach_mul_(locals_of(tensors.values()), length / (float(global_norm(tensors)) + eps))
    return tensors


def add_(total: Grads, more: Mapping[str, Tensor], factor: float = 1.0) -> Grads:
    """``total + factor · more`` by name, in place."""
    torch._foreach_add_(locals_of(total.values()), locals_of(more[name] for name in total), alpha=factor)
    return total
