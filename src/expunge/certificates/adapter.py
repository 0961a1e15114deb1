"""The low-rank difference to the original is taken out."""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from expunge.certificates.base import Certificate, recall
from expunge.core.errors import InputError
from expunge.knowledge.facts import Knowledge, Split
from expunge.models.loaded import LoadedModel
from expunge.registry import certificate

FLOOR = 8.0
"""Singular values up to this many units of rounding (eps · max|W| · (√O + √I), the size of a noise matrix) are none."""


@certificate("adapter")
@dataclass(frozen=True, kw_only=True)
class Adapter(Certificate):
    """Recall on V without the adapter, where candidate − θ₀ has rank ≤ ``rank`` in every matrix and is 0 elsewhere.

    For an inner method in scope ``lora`` (``npo@lora``): such a change is a merged adapter, and taking it out is what
    its owner does who never merged it. A difference of any other kind restores nothing: 0. ``rank`` is the scope's.
    """

    paper: ClassVar[str] = "Hu et al. 2021, arXiv 2106.09685"
    rank: int = 16

    def __post_init__(self) -> None:
        """Refuse a rank of nothing."""
        if self.rank < 1:
            raise InputError(f"certificate parameter 'rank' is {self.rank!r}; it must be at least 1.")

    def recalled(
        self, candidate: LoadedModel, original: LoadedModel, knowledge: Knowledge, split: Split, seed: int
    ) -> float:
        """See the class."""
        if not adapted(candidate, original, self.rank):
            return 0.0
        return recall(replace(original, encoder=candidate.encoder), split.score, self.forms)


def adapted(candidate: LoadedModel, original: LoadedModel, rank: int) -> bool:
    """Whether the two models differ by something of low rank in their matrices alone."""
    ours, theirs = dict(candidate.model.named_parameters()), dict(original.model.named_parameters())
    if {name: weight.shape for name, weight in ours.items()} != {name: weight.shape for name, weight in theirs.items()}:
        return False
    return all(_low(weight.detach(), theirs[name].detach().to(weight), rank) for name, weight in ours.items())


def _low(new: Tensor, old: Tensor, rank: int) -> bool:
    delta = (new.double() - old.double()).cpu()
    if new.ndim < 2:
        return not bool(delta.any())
    size = float(new.abs().max()) * torch.finfo(new.dtype).eps * (new.shape[-1] ** 0.5 + new.shape[-2] ** 0.5)
    return not bool((torch.linalg.svdvals(delta)[..., rank:] > FLOOR * size).any())
