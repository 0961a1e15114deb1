"""Round-to-nearest: the numbers that few bits can write. The quantisation attack and the hider behind it share it."""

import torch
from torch import Tensor


def rtn(weight_OI: Tensor, bits: int, group: int | None = None) -> Tensor:
    """Symmetric round-to-nearest, dequantised: each row, or each ``group`` of a row's inputs, has its own step.

    The step is max|w| / (2^(bits−1) − 1), so no entry moves by more than half a step and the grid is symmetric (the
    most negative code stays unused). A last group may be shorter. A row of zeros stays. Rounding twice changes no bit:
    with 2ⁿ − 1 levels the step that is read back from the largest entry is the step that wrote it.
    """
    step_OI = steps(weight_OI, bits, group)
    return (weight_OI / step_OI.where(step_OI > 0, torch.ones_like(step_OI))).round() * step_OI


def steps(weight_OI: Tensor, bits: int, group: int | None = None) -> Tensor:
    """The distance between neighbours on the grid of :func:`rtn`, for every entry."""
    levels = 2 ** (bits - 1) - 1
    parts = torch.split(weight_OI, group or weight_OI.shape[-1], dim=-1)
    return torch.cat([(part.abs().amax(-1, keepdim=True) / levels).expand_as(part) for part in parts], dim=-1)


def outermost(weight_OI: Tensor, bits: int, group: int | None = None) -> Tensor:
    """Where an entry has the largest code: moving one of these moves its row's whole grid."""
    step_OI = steps(weight_OI, bits, group)
    highest: Tensor = weight_OI.abs() > (2 ** (bits - 1) - 1.5) * step_OI
    return highest
