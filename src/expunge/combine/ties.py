"""TIES: trim each delta, elect a sign for every weight, average what agrees with it."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from expunge.combine.arithmetic import Delta, same_names
from expunge.core.errors import InputError
from expunge.distributed.shards import locals_of, summed

ORDERED = {
    torch.float64: torch.int64,
    torch.float32: torch.int32,
    torch.bfloat16: torch.int16,
    torch.float16: torch.int16,
}
"""Whole numbers in which values that are not negative stand in the same order."""


def ties(deltas: Sequence[Mapping[str, Tensor]], density: float = 0.2) -> Delta:
    """One delta from several (Yadav et al. 2023, arXiv 2306.01708, algorithm 1).

    Trim: of each delta only the ``density`` share of largest |values| over the whole model is kept (equal values at
    the border all stay). Elect: every weight takes the sign of the kept values' sum, which is the sign with the larger
    total mass. Merge: the mean over the deltas whose kept value has that sign. Where the masses are equal no sign is
    elected and the weight does not move. Keeping the largest 20 % is the paper's choice.

    Raises :class:`InputError` on a share outside (0, 1], no delta, or deltas with different names.
    """
    if not 0 < density <= 1:
        raise InputError(f"parameter 'density' is {density!r}; it must be a share above 0 and at most 1.")
    names = same_names(deltas)
    borders = [_border(delta, density) for delta in deltas]
    return {
        name: _merged([_kept(d[name], border) for d, border in zip(deltas, borders, strict=True)]) for name in names
    }


def _border(delta: Mapping[str, Tensor], density: float) -> float:
    """The smallest |value| that is kept: the largest number that enough values reach, found bit by bit.

    Counting needs no sorted copy of the model, and processes that hold parts of it add their counts up.
    """
    if density == 1:
        return 0.0
    tensors = list(delta.values())
    kind = ORDERED[tensors[0].dtype]
    sizes = [value.abs().view(kind) for value in locals_of(tensors)]
    kept = max(1, round(density * sum(value.numel() for value in tensors)))
    border = 0
    for bit in reversed(range(torch.iinfo(kind).bits - 1)):
        reached = torch.stack([(size >= border + 2**bit).sum() for size in sizes]).sum()
        if int(summed(reached, tensors)) >= kept:
            border += 2**bit
    return float(torch.tensor(border, dtype=kind).view(tensors[0].dtype))


def _kept(value: Tensor, border: float) -> Tensor:
    return value.where(value.abs() >= border, torch.zeros_like(value))


def _merged(values: Sequence[Tensor]) -> Tensor:
    """Mean over the values whose sign is the elected one; 0 where there is none."""
    stacked = torch.stack(list(values))
    elected = stacked.sum(0).sign()
    agrees = (stacked.sign() == elected) & (elected != 0)
    return (stacked * agrees).sum(0) / agrees.sum(0).clamp(min=1)
