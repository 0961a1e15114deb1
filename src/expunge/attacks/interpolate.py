"""Interpolation towards the original model: how far along the straight line the answers come back."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch

from expunge.attacks.tampering import Edit, Scene, Tampering
from expunge.core.errors import InputError
from expunge.distributed.shards import full
from expunge.models.load import LoadedModel
from expunge.registry import attack


@attack("interpolate")
@dataclass(frozen=True, kw_only=True)
class Interpolate(Tampering):
    """θ = θᵤ + α·(θ₀ − θᵤ) for all weights; the knob is α.

    "From Dormant to Deleted" (2505.22310) predicts resistance to relearning from the distance to θ₀ and from whether
    the line to it is a connected valley. This is a probe of that line more than a threat: who holds θ₀ needs no
    attack. The never-trained model walks the same line, and near α = 1 it knows everything too; a study whose grid
    goes that far can tell no excess and says so. The default ``alphas`` therefore stop at one half (our choice).
    α = 1 is θ₀ bit for bit; α < 0 goes on beyond θᵤ, away from θ₀.
    """

    paper: ClassVar[str] = "From Dormant to Deleted 2025, arXiv 2505.22310"
    needs: ClassVar[tuple[str, ...]] = ("weights", "original")
    name: ClassVar[str] = "interpolate"
    spreads: ClassVar[bool] = True

    alphas: tuple[float, ...] = (0.1, 0.25, 0.5)

    def __post_init__(self) -> None:
        """Refuse α that is no number or beyond θ₀."""
        self.listed("forms", "alphas")
        fine = all(math.isfinite(alpha) and alpha <= 1 for alpha in self.alphas)
        self.demand(fine, "alphas", "give numbers up to 1")

    def rows_of_grid(self) -> list[tuple[str, str, float]]:
        """One line, every α."""
        return [("line", self.name, float(alpha)) for alpha in self.alphas]

    def edits(self, scene: Scene) -> Iterator[Edit]:
        """One edit an α. Raises :class:`InputError` when θ₀ has other weights than the attacked model."""
        shapes = [
            {name: weight.shape for name, weight in loaded.model.named_parameters()}
            for loaded in (scene.loaded, scene.theta_0)
        ]
        if shapes[0] != shapes[1]:
            raise InputError("attack 'interpolate': the original has other weights than the attacked model; check it.")
        for variant, _, alpha in self.rows_of_grid():
            yield Edit(variant, alpha, partial(_moved, alpha, scene.theta_0))


def _moved(alpha: float, original: LoadedModel, copied: LoadedModel) -> None:
    theirs = dict(original.model.named_parameters())
    with torch.no_grad():
        for name, weight in copied.model.named_parameters():
            # lerp counts from the nearer end, which is what makes α = 1 exact.
            weight.lerp_(full(theirs[name]).to(weight), alpha)
