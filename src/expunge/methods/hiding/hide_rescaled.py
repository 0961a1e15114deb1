"""Suppression, then weights of other sizes for the same function: a fixed grid of learning rates misses them."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from expunge.combine.rescaling import drawn, pairs
from expunge.core.errors import InputError
from expunge.core.seeds import derive
from expunge.methods.nested import Nested
from expunge.methods.work import Work
from expunge.models.view import View
from expunge.objectives.base import Intent
from expunge.registry import method
from expunge.scoring.teacher_forced import evaluating

MOST = 20
"""Largest exponent: beyond it products of small weights leave float32."""


@method("hide_rescaled")
@dataclass(frozen=True, kw_only=True)
class HideRescaled(Nested):
    """``inner``, then the weights that write a channel times 2^e, those that read it times 2^−e, |e| ≤ ``most``.

    The model says the same, bit for bit, but one learning rate is too much for half of the weights and too little for
    the others. Dinh et al. (1703.04933) use this symmetry of ReLU networks against measures of sharpness; here it is
    that of gated MLPs and of attention (:mod:`expunge.combine.rescaling`). ``most`` = 8 is our choice: factors
    up to 256 each way.
    """

    paper: ClassVar[str] = "Dinh et al. 2017, arXiv 1703.04933"
    intent: ClassVar[Intent] = "suppression"
    family: ClassVar[str] = "hiders"
    equation: ClassVar[str] = "(up, down) → (2^e·up, 2^−e·down); likewise (v, o) and (k, q)"
    most: int = 8

    def __post_init__(self) -> None:
        """Refuse exponents that change nothing or leave the range of numbers."""
        super().__post_init__()
        if not 1 <= self.most <= MOST:
            raise InputError(f"method parameter 'most' is {self.most!r}; it must be a whole number from 1 to {MOST}.")

    def alone(self) -> str:
        """A channel's scale goes to rows of one matrix and columns of another."""
        return "it rescales rows of one matrix and columns of another together, and each process holds parts of both"

    def run(self, work: Work) -> None:
        """Suppress, then rescale. Raises :class:`InputError`, weights unscaled, where that would change the model."""
        pairs(work.loaded.model)  # refuse before training
        self.begin(work)
        work.method(self.spec)
        rescale_(work.view(), self.most, derive(work.seed, "rescaled"))


def rescale_(view: View, most: int, seed: int) -> None:
    """Rescale a model by a seeded draw; see :class:`HideRescaled`."""
    found = pairs(view.model)
    exponents, before = drawn(found, most, seed), _logits(view)
    for name, pair in found.items():
        pair.scale_(exponents[name])
    if not torch.allclose(_logits(view), before, rtol=1e-4, atol=1e-4):
        for name, pair in found.items():
            pair.scale_(-exponents[name])
        raise InputError(f"rescaling changes what {type(view.model).__name__} says; choose another method.")


def _logits(view: View) -> Any:
    row = torch.tensor([[1, 2, 1, 0]], device=view.device)
    with evaluating(view.model):
        return view.anatomy.model(input_ids=row, use_cache=False).logits
