"""Quantisation: fewer bits undo an update that is smaller than a step of their grid."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from expunge.attacks.matrices import block_matrices
from expunge.attacks.rounding import FOREIGN, rtn
from expunge.attacks.tampering import Edit, Scene, Tampering
from expunge.core.errors import InputError
from expunge.models.load import LoadedModel
from expunge.registry import attack, suggestion

FEWEST, MOST = 2, 16
"""Bits of round-to-nearest: one bit has no symmetric grid, above 16 fp32 itself rounds."""


@attack("quantise")
@dataclass(frozen=True, kw_only=True)
class Quantise(Tampering):
    """Round the matrices of the decoder blocks to few bits; they are kept as fp32 numbers on the coarser grid.

    Zhang et al. (2410.16454): methods that keep utility hold 21 % of the forgotten knowledge at full precision and
    83 % after 4-bit, as their update is smaller than a quantisation bin. The knob is the number of bits.

    ``bits``: of scheme ``rtn``, from 2 (the paper has 8 and 4; 3 and 2 are our choice). ``group``: inputs that share
    a step, absent for one step a row (our choice; the paper's quantisers group or not). ``schemes``: ``rtn``, and
    ``torchao_int8``, ``bnb_int8``, ``bnb_nf4`` at their own bits where the packages are there. ``embeddings``: quantise
    embedding and unembedding too (off, as quantised releases keep them).
    """

    paper: ClassVar[str] = "Zhang et al. 2024, arXiv 2410.16454"
    needs: ClassVar[tuple[str, ...]] = ("weights",)
    name: ClassVar[str] = "quantise"
    spreads: ClassVar[bool] = True

    bits: tuple[int, ...] = (8, 4, 3, 2)
    schemes: tuple[str, ...] = ("rtn",)
    group: int | None = None
    embeddings: bool = False

    def __post_init__(self) -> None:
        """Refuse bits and schemes that there are not."""
        self.listed("forms", "bits", "schemes")
        whole = all(FEWEST <= bits <= MOST and bits == int(bits) for bits in self.bits)
        self.demand(whole, "bits", f"give whole numbers from {FEWEST} to {MOST}")
        self.demand(self.group is None or self.group >= 1, "group", "give at least 1, or leave it out")
        for scheme in self.schemes:
            if scheme not in ("rtn", *FOREIGN):
                raise InputError(
                    f"attack 'quantise': unknown scheme {scheme!r}; {suggestion(scheme, ('rtn', *FOREIGN))}"
                )

    def rows_of_grid(self) -> list[tuple[str, str, float]]:
        """``rtn`` at every number of bits, other schemes at their own."""
        bits = {scheme: self.bits if scheme == "rtn" else (FOREIGN[scheme][0],) for scheme in self.schemes}
        return [(scheme, self.name, float(knob)) for scheme in self.schemes for knob in bits[scheme]]

    def edits(self, scene: Scene) -> Iterator[Edit]:
        """One edit a scheme and number of bits. Raises :class:`InputError` where a package is missing."""
        foreign = {scheme: FOREIGN[scheme][1]() for scheme in self.schemes if scheme != "rtn"}
        for scheme, _, knob in self.rows_of_grid():
            own = partial(rtn, bits=int(knob), group=self.group)
            yield Edit(scheme, knob, partial(self._quantised, foreign.get(scheme, own)))

    def _quantised(self, scheme: Callable[[Tensor], Tensor], copied: LoadedModel) -> None:
        with torch.no_grad():
            for weight in self._matrices(copied):
                rows_OI = weight.reshape(math.prod(weight.shape[:-1]), weight.shape[-1])
                weight.copy_(scheme(rows_OI).reshape(weight.shape))

    def _matrices(self, copied: LoadedModel) -> list[Tensor]:
        anatomy = copied.view().anatomy
        outer: list[Any] = [anatomy.embed.weight, anatomy.head.weight] if self.embeddings else []
        once = {id(weight): weight.data for weight in outer}  # tied ones are the same parameter
        return [*block_matrices(copied.model).values(), *once.values()]
