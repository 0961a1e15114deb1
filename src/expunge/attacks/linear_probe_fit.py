"""Multinomial logistic regression with ridge on hidden states, by full-batch L-BFGS.

Shapes: N training states, M states read, D hidden width, C classes.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

STEPS = 100
"""L-BFGS iterations at most (our choice; the objective is strictly convex, and small problems end far earlier)."""


@dataclass(frozen=True, slots=True)
class Readout:
    """A fitted probe. ``classes_C`` are the token ids that it can say, in rising order."""

    mean_D: Tensor
    scale_D: Tensor
    weight_CD: Tensor
    bias_C: Tensor
    classes_C: Tensor

    def logprobs(self, states_MD: Tensor) -> Tensor:
        """log p of each class, [M, C], nats."""
        features_MD = (states_MD.float() - self.mean_D) * self.scale_D
        return functional.linear(features_MD, self.weight_CD, self.bias_C).log_softmax(-1)


def fit(states_ND: Tensor, tokens_N: Tensor, ridge: float) -> Readout:
    """The minimum of mean cross-entropy + ridge/2 · ‖W‖²; the intercept is free.

    Features are centred, divided by their standard deviation over the training states and by √D, so that a row has
    length about 1 and ``ridge`` means the same at every layer and width. Dividing each feature by its own spread makes
    the probe blind to a rescaling of the residual stream; a feature that never moves is left out.
    """
    states_ND = states_ND.float()
    classes_C, targets_N = torch.unique(tokens_N, return_inverse=True)
    mean_D, spread_D = states_ND.mean(0), states_ND.std(0, correction=0)
    still_D = spread_D <= 1e-6 * states_ND.abs().amax(0)
    scale_D = torch.where(still_D, 0.0, 1 / spread_D.clamp(min=torch.finfo(torch.float32).tiny))
    scale_D = scale_D / states_ND.shape[1] ** 0.5
    weight_CD, bias_C = _minimum((states_ND - mean_D) * scale_D, targets_N, len(classes_C), ridge)
    return Readout(mean_D, scale_D, weight_CD, bias_C, classes_C)


def objective(weight_CD: Tensor, bias_C: Tensor, features_ND: Tensor, targets_N: Tensor, ridge: float) -> Tensor:
    """What is minimised, in nats."""
    logits_NC = functional.linear(features_ND, weight_CD, bias_C)
    return functional.cross_entropy(logits_NC, targets_N) + ridge / 2 * weight_CD.square().sum()


def _minimum(features_ND: Tensor, targets_N: Tensor, num_classes: int, ridge: float) -> tuple[Tensor, Tensor]:
    """Weights and intercept from a start at zero: nothing is drawn."""
    weight_CD = torch.zeros(num_classes, features_ND.shape[1], requires_grad=True)
    bias_C = torch.zeros(num_classes, requires_grad=True)
    solver = torch.optim.LBFGS(
        [weight_CD, bias_C], max_iter=STEPS, tolerance_grad=1e-6, tolerance_change=1e-9, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        solver.zero_grad()
        loss = objective(weight_CD, bias_C, features_ND, targets_N, ridge)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    with torch.enable_grad():
        solver.step(closure)  # type: ignore[no-untyped-call]
    return weight_CD.detach(), bias_C.detach()
