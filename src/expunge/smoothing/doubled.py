"""Ablation: the forget gradient twice as large, at the weights as they are."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from expunge.distributed.shards import locals_of
from expunge.registry import smoother
from expunge.smoothing.base import Grads, Problem, Smoother


@smoother("doubled")
@dataclass(frozen=True, kw_only=True)
class Doubled(Smoother):
    """2·∇ℓ_forget(θ): no smoothing at all; no hyper-parameters.

    What a penalty whose gradient is lost leaves behind: in the released code of Fan et al. (2502.05374) the curvature
    regularisation adds up to this. A smoother that does no better than ``doubled`` has only raised the forget weight.
    """

    paper: ClassVar[str] = "ablation; see Fan et al. 2025, arXiv 2502.05374"
    family: ClassVar[str] = "ablation"
    equation: ClassVar[str] = "g = 2·∇ℓ_f(θ)"

    def gradient(self, problem: Problem) -> Grads:
        """Twice the plain gradient."""
        grads = problem.grad()
        torch._foreach_mul_(locals_of(grads.values()), 2)
        return grads
