"""Gaussian noise on the weights: what is hidden finely breaks before what is known robustly."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from expunge.attacks.matrices import block_matrices
from expunge.attacks.tampering import Edit, Scene, Tampering
from expunge.combine.noise import add_noise_
from expunge.core.seeds import derive
from expunge.models.load import LoadedModel
from expunge.registry import attack


@attack("noise")
@dataclass(frozen=True, kw_only=True)
class Noise(Tampering):
    """W + σ·rms(W)·N(0, 1) on every matrix W of the decoder blocks, rms(W) the root mean square of its entries.

    Tice et al. (2412.01784) find that noise on the weights brings back what a model was made to withhold, while it
    only harms a model that has nothing to show. The knob is σ, so ‖ΔW‖ ≈ σ‖W‖. Every draw is a source of its own,
    ``draw0`` …: the best draw counts, and the never-trained model meets the very same ones. One draw keeps its
    direction over all σ. ``sigmas`` and ``draws`` are our choice.
    """

    paper: ClassVar[str] = "Tice et al. 2024, arXiv 2412.01784"
    needs: ClassVar[tuple[str, ...]] = ("weights",)
    name: ClassVar[str] = "noise"
    spreads: ClassVar[bool] = True

    sigmas: tuple[float, ...] = (0.01, 0.03, 0.1)
    draws: int = 4

    def __post_init__(self) -> None:
        """Refuse a negative σ and no draw at all."""
        self.listed("forms", "sigmas")
        self.demand(all(sigma >= 0 for sigma in self.sigmas), "sigmas", "give numbers from 0")
        self.demand(self.draws >= 1, "draws", "give at least 1")

    def rows_of_grid(self) -> list[tuple[str, str, float]]:
        """Every draw at every σ."""
        return [(f"draw{draw}", self.name, sigma) for draw in range(self.draws) for sigma in self.sigmas]

    def edits(self, scene: Scene) -> Iterator[Edit]:
        """One edit a draw and σ."""
        for draw, _, sigma in self.rows_of_grid():
            yield Edit(draw, sigma, partial(_disturb, sigma, derive(scene.seed, "noise", draw)))


def _disturb(sigma: float, seed: int, copied: LoadedModel) -> None:
    add_noise_(block_matrices(copied.model), sigma, seed)
