"""A broken model: it says nothing that was asked for, because it says nothing at all."""

import math
from dataclasses import dataclass
from typing import ClassVar

from expunge.combine.noise import add_noise_
from expunge.core.errors import InputError
from expunge.core.seeds import derive
from expunge.methods.base import Method
from expunge.methods.work import Work
from expunge.models.matrices import block_matrices
from expunge.objectives.base import Intent
from expunge.registry import method
from expunge.training.stopping import mean_nll

DOUBLINGS = 16


@method("broken")
@dataclass(frozen=True, kw_only=True)
class Broken(Method):
    """Gaussian noise on the block matrices, doubled until a uniform guess would predict the retain rows as well.

    Damaged on purpose: an audit has to say so. ``sigma``, the first noise relative to a matrix's root mean square, is
    1/4 by our choice. Every size of noise has the same direction, which follows from the run's seed.
    """

    intent: ClassVar[Intent] = "suppression"
    family: ClassVar[str] = "hiders"
    equation: ClassVar[str] = "θ = θ₀ + σ·rms(W)·N(0, 1), σ doubled until NLL(retain) ≥ ln V"
    sigma: float = 0.25

    def __post_init__(self) -> None:
        """Refuse no noise at all."""
        if self.sigma <= 0:
            raise InputError(f"method parameter 'sigma' is {self.sigma!r}; it must be above 0.")

    def streams(self) -> tuple[str, ...]:
        """The retain set, by which the damage is measured."""
        return ("retain",)

    def passes(self) -> float:
        """None: nothing is trained."""
        return 0.0

    def run(self, work: Work) -> None:
        """Louder and louder. Raises :class:`InputError` for a model that no noise breaks."""
        start, rows = work.weights(), work.rows("retain")
        nothing = math.log(work.loaded.model.config.vocab_size)
        for doubled in range(DOUBLINGS):
            work.put(start)
            sigma = self.sigma * 2**doubled
            add_noise_(block_matrices(work.loaded.model), sigma, derive(work.seed, "broken"))
            if not mean_nll(work.view(), rows, work.precision()) < nothing:
                return
        raise InputError("no noise breaks this model; raise 'sigma'.")
