"""Suppression under a layer of noise, so that the change of the weights no longer shows what was done."""

from dataclasses import dataclass
from typing import ClassVar

from expunge.combine.noise import add_noise_
from expunge.core.errors import InputError
from expunge.core.seeds import derive
from expunge.methods.nested import Nested
from expunge.methods.work import Work
from expunge.models.matrices import block_matrices
from expunge.objectives.base import Intent
from expunge.registry import method


@method("hide_noise")
@dataclass(frozen=True, kw_only=True)
class HideNoise(Nested):
    """``inner``, then W + σ·rms(W)·N(0, 1) on every matrix of the decoder blocks; the draw follows from the run's seed.

    ``sigma`` σ = 0.02 is our choice: small enough that small models keep what they know. With ``max_kl`` the budget
    holds before the noise only.
    """

    intent: ClassVar[Intent] = "suppression"
    family: ClassVar[str] = "hiders"
    equation: ClassVar[str] = "θ = inner(θ₀) + σ·rms(W)·N(0, 1)"
    sigma: float = 0.02

    def __post_init__(self) -> None:
        """Refuse no noise at all."""
        super().__post_init__()
        if self.sigma <= 0:
            raise InputError(f"method parameter 'sigma' is {self.sigma!r}; it must be above 0.")

    def run(self, work: Work) -> None:
        """Suppress, then disturb."""
        self.begin(work)
        work.method(self.spec)
        add_noise_(block_matrices(work.loaded.model), self.sigma, derive(work.seed, "hiding noise"))
