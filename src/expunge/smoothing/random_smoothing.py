"""Random smoothing: the mean forget gradient under Gaussian noise on the weights."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from expunge.core.errors import InputError
from expunge.distributed.shards import locals_of
from expunge.registry import smoother
from expunge.smoothing.base import Grads, Problem, Smoother, add_
from expunge.smoothing.noise import gaussian


@smoother("random_smoothing")
@dataclass(frozen=True, kw_only=True)
class RandomSmoothing(Smoother):
    """The mean of ∇ℓ_forget(θ + δ_i) over ``draws`` draws δ_i ~ N(0, σ²I) on all weights of the scope.

    An unbiased estimate of the gradient of E ℓ_forget(θ + δ). ``sigma`` is in weight units and per coordinate, so ‖δ‖
    is σ·√d: 850 times the radius of ``sam`` on a 7-billion model. σ = 1e-4 and 3 draws are the values of Fan et al.
    (2502.05374, released WMDP configuration). Their code adds and subtracts the noise in bf16, which leaves part of it
    in the weights, and steps without clipping; here neither happens.
    """

    paper: ClassVar[str] = "Fan et al. 2025, arXiv 2502.05374"
    family: ClassVar[str] = "weights"
    equation: ClassVar[str] = "g = (1/n)·Σ_i ∇ℓ_f(θ + δ_i), δ_i ~ N(0, σ²I)"
    copies: ClassVar[float] = 3.0
    """Tensors a weight in its last pass: the noise, the weights with it, the sum of the gradients so far."""
    sigma: float = 1e-4
    draws: int = 3

    def __post_init__(self) -> None:
        """Refuse σ ≤ 0 and no draw."""
        if self.sigma <= 0:
            raise InputError(f"smoothing parameter 'sigma' is {self.sigma!r}; it must be above 0.")
        if self.draws < 1:
            raise InputError(f"smoothing parameter 'draws' is {self.draws!r}; it must be at least 1.")

    @property
    def points(self) -> float:
        """One pass a draw."""
        return float(self.draws)

    def gradient(self, problem: Problem) -> Grads:
        """The mean over the draws."""
        total = self._at_draw(problem, 0)
        for draw in range(1, self.draws):
            add_(total, self._at_draw(problem, draw))
        torch._foreach_mul_(locals_of(total.values()), 1 / self.draws)
        return total

    def _at_draw(self, problem: Problem, draw: int) -> Grads:
        noise = gaussian(problem, draw)
        torch._foreach_mul_(locals_of(noise.values()), self.sigma)
        return problem.grad(at=noise)
