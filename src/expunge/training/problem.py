"""The forget loss of one optimizer step, as smoothers see it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import Parameter

from expunge.core.errors import InputError
from expunge.smoothing.base import ActivationPerturbation, Grads, WeightDelta
from expunge.training.passes import take_grads
from expunge.training.precision import Precision

if TYPE_CHECKING:
    from expunge.models.view import View

# Below this cosine the perturbation that the forward pass sees is not the one that was asked for.
LEAST_COSINE = 0.9


@dataclass
class StepProblem:
    """Satisfies :class:`expunge.smoothing.base.Problem` on the rows of one step.

    ``forget_pass(precision)`` runs forward and backward of the forget role into the empty ``weight.grad`` and
    returns the term means. ``check`` measures each perturbation exactly (two passes over the weights). ``spare``
    holds the perturbed weights; given the same one in every step, no step pays for fresh memory.
    """

    view: "View"
    weights: Mapping[str, Parameter]
    forget_pass: Callable[[Precision], dict[str, float]]
    precision: Precision
    check: bool = True
    spare: dict[str, Tensor] = field(default_factory=dict)
    means: dict[str, float] = field(default_factory=dict)

    def grad(self, at: WeightDelta | ActivationPerturbation | None = None) -> Grads:
        """See :meth:`expunge.smoothing.base.Problem.grad`. The gradients returned belong to the caller.

        Raises :class:`InputError` when float32 itself rounds the weight perturbation away.
        """
        with self._shifted(at) as precision:
            means = self.forget_pass(precision)
        if at is None or not self.means:
            self.means = means
        return take_grads(self.weights)

    @contextmanager
    def _shifted(self, at: WeightDelta | ActivationPerturbation | None) -> Iterator[Precision]:
        if isinstance(at, ActivationPerturbation) or at is None:
            with self.view.perturb(at.site, at.function) if at is not None else nullcontext():
                yield self.precision
            return
        weights = {name: self.weights[name] for name in at}
        originals = [weight.data for weight in weights.values()]
        shifted = self._moved(originals, at)
        precision = self._faithful(originals, shifted, list(at.values()))
        try:
            # Exchanging the storage, instead of adding and subtracting, is what leaves the weights bit-identical.
            for weight, moved in zip(weights.values(), shifted, strict=True):
                weight.data = moved
            yield precision
        finally:
            for weight, original in zip(weights.values(), originals, strict=True):
                weight.data = original

    def _moved(self, originals: list[Tensor], at: WeightDelta) -> list[Tensor]:
        """weights + at, in the spare tensors."""
        for name, original in zip(at, originals, strict=True):
            if name not in self.spare:
                self.spare[name] = torch.empty_like(original)
        shifted = [self.spare[name] for name in at]
        torch._foreach_copy_(shifted, originals)
        torch._foreach_add_(shifted, list(at.values()))
        return shifted

    def _faithful(self, originals: list[Tensor], shifted: list[Tensor], wanted: list[Tensor]) -> Precision:
        """The precision of the perturbed pass: fp32 where bf16 would round the perturbation away."""
        if self.precision == "bf16" and _cosine(originals, shifted, wanted, torch.bfloat16) >= LEAST_COSINE:
            return "bf16"
        if self.check and (found := _cosine(originals, shifted, wanted, torch.float32)) < LEAST_COSINE:
            raise InputError(
                f"the weight perturbation is lost to rounding (cosine {found:.2f} with the one asked for); raise 'rho'."
            )
        return "fp32"


def _cosine(originals: list[Tensor], shifted: list[Tensor], wanted: list[Tensor], dtype: torch.dtype) -> float:
    """cos(realised, intended) over all tensors, the weights seen in ``dtype``; 1 for a zero perturbation."""
    dot = realised_square = wanted_square = 0.0
    for old, new, want in zip(originals, shifted, wanted, strict=True):
        realised = (new.to(dtype).to(new.dtype) - old.to(dtype).to(old.dtype)).flatten()
        dot += float(realised.dot(want.flatten()))
        realised_square += float(realised.dot(realised))
        wanted_square += float(want.flatten().dot(want.flatten()))
    if not wanted_square:
        return 1.0
    return float(dot / (realised_square * wanted_square) ** 0.5) if realised_square else 0.0
