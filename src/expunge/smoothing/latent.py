"""Latent adversarial unlearning: the forget gradient under the perturbation that recalls best."""

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from expunge.core.errors import InputError
from expunge.registry import smoother
from expunge.smoothing.base import ActivationPerturbation, Grads, Problem, Smoother


@smoother("latent")
@dataclass(frozen=True, kw_only=True)
class Latent(Smoother):
    """∇ℓ_forget at h_l + δ*, where δ* lowers the label NLL of the forget rows as far as ‖δ‖₂ ≤ κ allows.

    h_l is the output of block ``layer`` (from 0). Each row has its own δ over all its positions; the norm is over
    positions and width together. ``steps`` descents of the attacker's NLL along each row's unit gradient, with
    projection to the ball, find δ*; it is then held fixed (Yuan et al., 2408.10682). The keep terms and forward passes
    on other rows than the forget rows stay unperturbed. Randomness (dropout) is as in training; the authors search in
    evaluation mode, start at a random point of the ball and clamp the states to the range that they saw. Here the
    search starts at 0, so that it is the same whatever the micro-batches.

    Three of their methods are ``gradient_difference+latent``, ``npo+latent`` and ``rmu+latent``. An objective that
    reads hidden states has to read block ``layer`` or a later one. κ = 8, 6 steps of ``step_size`` κ/steps (what
    ``None`` stands for) and layer 4 of 32 are the authors' for NPO on an 8-billion model; for RMU they take κ = 2 or
    4, 3 steps and layer 6. ``layer`` 0 is our choice, as every model has it. κ is a length in the residual stream:
    compare it with that of the model's states.
    """

    paper: ClassVar[str] = "Yuan et al. 2025, arXiv 2408.10682"
    family: ClassVar[str] = "activations"
    equation: ClassVar[str] = "g = ∇ℓ_f(θ; h_l + δ*), δ* = argmin_{‖δ‖≤κ} NLL(y_f | h_l + δ)"
    layer: int = 0
    kappa: float = 8.0
    steps: int = 6
    step_size: float | None = None

    def __post_init__(self) -> None:
        """Refuse a negative radius, step size or layer, and a search of no steps."""
        for key, least in (("layer", 0), ("kappa", 0), ("steps", 1), ("step_size", 0)):
            value = getattr(self, key)
            if value is not None and value < least:
                raise InputError(f"smoothing parameter {key!r} is {value!r}; it must be at least {least}.")

    @property
    def points(self) -> float:
        """One pass for each step of the search, one for the gradient there."""
        return 1.0 + self.steps

    def gradient(self, problem: Problem) -> Grads:
        """The forget gradient under the worst perturbation found.

        Raises :class:`InputError` when the objective never runs the forget rows through the layer.
        """
        site = f"block.{self.layer}"
        deltas = self._search(problem, site)
        grads = problem.grad(at=ActivationPerturbation(site, deltas.add))
        if not deltas.used:
            raise InputError(
                f"the objective does not run the forget rows through block {self.layer}, which 'latent' perturbs; "
                "choose a lower 'layer' or another objective."
            )
        return grads

    def _search(self, problem: Problem, site: str) -> "Deltas":
        """Projected descent of the attacker's loss, every row for itself."""
        deltas = Deltas(problem)
        step_size = self.kappa / self.steps if self.step_size is None else self.step_size
        for _ in range(self.steps):
            problem.attack_grad(at=ActivationPerturbation(site, deltas.open))
            deltas.descend(step_size, self.kappa)
        return deltas


@dataclass
class Deltas:
    """The perturbations of a step's forget rows, one tensor BTD for each micro-batch.

    A pass may run other rows too (the refusals of the same questions, say), so a batch is known by its own ids.
    """

    problem: Problem
    by_batch: dict[int, Tensor] = field(default_factory=dict)
    used: bool = False

    def open(self, hidden_BTD: Tensor) -> Tensor:
        """``hidden + δ``, where δ is to find its gradient; a batch that is new starts at 0."""
        key = self._key()
        if key not in self.by_batch:
            self.by_batch[key] = torch.zeros_like(
                hidden_BTD, dtype=torch.promote_types(hidden_BTD.dtype, torch.float32)
            )
        delta_BTD = self.by_batch[key].requires_grad_()
        return hidden_BTD + delta_BTD.to(hidden_BTD.dtype)

    def add(self, hidden_BTD: Tensor) -> Tensor:
        """``hidden + δ`` with δ fixed; other batches than those of the search pass unchanged."""
        delta_BTD = self.by_batch.get(self._key())
        if delta_BTD is None:
            return hidden_BTD
        self.used = True
        return hidden_BTD + delta_BTD.to(hidden_BTD.dtype)

    def descend(self, step_size: float, kappa: float) -> None:
        """One step along each row's unit gradient, then back into the ball; the results are leaves without gradient."""
        self.by_batch = {key: _descended(delta_BTD, step_size, kappa) for key, delta_BTD in self.by_batch.items()}

    def _key(self) -> int:
        return id(self.problem.running.ids_BT)


def _descended(delta_BTD: Tensor, step_size: float, kappa: float) -> Tensor:
    """A row without a gradient (no label) stays where it is."""
    grad_BTD = delta_BTD.grad
    assert grad_BTD is not None
    moved_BTD = delta_BTD.detach() - step_size * grad_BTD / _norm_B11(grad_BTD)
    return moved_BTD * (kappa / _norm_B11(moved_BTD)).clamp(max=1.0)


def _norm_B11(values_BTD: Tensor) -> Tensor:
    """One L2 norm a row, over positions and width; never 0."""
    norm_B: Tensor = torch.linalg.vector_norm(values_BTD, dim=(1, 2))
    return norm_B.clamp(min=torch.finfo(torch.float32).tiny)[:, None, None]
