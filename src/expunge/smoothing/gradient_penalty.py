"""Gradient penalty: the forget loss plus the length of its gradient."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from expunge.core.errors import InputError
from expunge.distributed.shards import locals_of
from expunge.registry import smoother
from expunge.smoothing.base import Grads, Problem, Smoother, add_, global_norm


@smoother("gradient_penalty")
@dataclass(frozen=True, kw_only=True)
class GradientPenalty(Smoother):
    """∇(ℓ_forget + κ·‖∇ℓ_forget‖), by one more first-order gradient at distance r along the gradient.

    ∇‖g‖ = H·g/‖g‖ is the derivative of the gradient along itself, so the whole is (1 − κ/r)·∇ℓ(θ) + (κ/r)·∇ℓ(θ + r·ĝ)
    up to an error of order r (Zhao et al. 2022, 2202.03599). With κ = r this is SAM of radius κ. κ = 0.01
    (``kappa``, units of weight) is what the code of Fan et al. (2502.05374) has fixed; there the norm is detached, so
    that the penalty has no gradient at all. ``radius`` r = 1e-3 is our choice: the error falls with r, while the
    rounding of both gradients, magnified κ/r times, grows. Both are computed in fp32.
    """

    paper: ClassVar[str] = "Fan et al. 2025, arXiv 2502.05374; Zhao et al. 2022, arXiv 2202.03599"
    family: ClassVar[str] = "weights"
    equation: ClassVar[str] = "g = (1 − κ/r)·∇ℓ_f(θ) + (κ/r)·∇ℓ_f(θ + r·∇ℓ_f(θ)/‖∇ℓ_f(θ)‖)"
    kappa: float = 0.01
    radius: float = 1e-3

    def __post_init__(self) -> None:
        """Refuse κ ≤ 0 and r ≤ 0."""
        for key in ("kappa", "radius"):
            if getattr(self, key) <= 0:
                raise InputError(f"smoothing parameter {key!r} is {getattr(self, key)!r}; it must be above 0.")

    @property
    def points(self) -> float:
        """One pass here, one a step ahead."""
        return 2.0

    def gradient(self, problem: Problem) -> Grads:
        """The gradient of the penalised loss."""
        here = problem.grad(exact=True)
        length = float(global_norm(here))
        if not length:
            return here
        # The perturbation is the gradient times a number: one set of tensors serves as both.
        ahead = problem.grad(at=_times_(here, self.radius / length), exact=True)
        ratio = self.kappa / self.radius
        return add_(_times_(ahead, ratio), here, (1 - ratio) * length / self.radius)


def _times_(tensors: Grads, factor: float) -> Grads:
    torch._foreach_mul_(locals_of(tensors.values()), factor)
    return tensors
