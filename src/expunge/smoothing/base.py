"""The smoothing contract: how the forget gradient is made robust to perturbation."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

from torch import Tensor

Grads = dict[str, Tensor]
WeightDelta = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class ActivationPerturbation:
    """``function(hidden_BTD) -> hidden_BTD`` applied at ``site`` (see :meth:`expunge.models.view.View.perturb`)."""

    site: str
    function: Callable[[Tensor], Tensor]


class Problem(Protocol):
    """One optimizer step's forget loss, as a function of where it is evaluated."""

    @property
    def weights(self) -> Mapping[str, Tensor]:
        """The fp32 master weights inside the scope, by name. Read only."""
        ...

    def grad(self, at: WeightDelta | ActivationPerturbation | None = None) -> Grads:
        """∇ of the forget loss at the weights (or at ``weights + at``), named, reduced, fp32, inside the scope.

        Runs forward and backward micro-batch by micro-batch on the same rows, references and random state, and
        leaves the weights bit for bit as they were.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Smoother:
    """Base of all smoothers; fields are the hyper-parameters. The base itself is plain (``none``)."""

    paper: ClassVar[str] = ""

    def gradient(self, problem: Problem) -> Grads:
        """The forget gradient that the loop uses."""
        return problem.grad()

    def after_step(self, weights: Mapping[str, Tensor], step: int) -> None:
        """Called after each optimizer step with the live weights."""

    def finish(self, weights: Mapping[str, Tensor]) -> None:
        """Called once at the end; may overwrite the weights in place (averaging)."""


def global_norm(tensors: Mapping[str, Tensor]) -> Tensor:
    """The one L2 norm over all tensors, fp32 scalar; the tensors are fp32."""
    import torch

    norms = torch.stack(torch._foreach_norm(list(tensors.values())))
    norm: Tensor = torch.linalg.vector_norm(norms)
    return norm
