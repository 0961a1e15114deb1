"""Tensors of which each rank holds a part (DTensors); a plain tensor is its own only part.

What is elementwise works on :func:`local` parts; what adds up over a tensor goes through :func:`summed`.
"""

import copy
from collections.abc import Iterable, Mapping
from typing import cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor


def local(tensor: Tensor) -> Tensor:
    """This rank's part, sharing memory with ``tensor``; no gradient flows through it."""
    return _detached(tensor).to_local() if isinstance(tensor, DTensor) else tensor


def locals_of(tensors: Iterable[Tensor]) -> list[Tensor]:
    """:func:`local` of each."""
    return [local(tensor) for tensor in tensors]


def any_sharded(tensors: Iterable[Tensor]) -> bool:
    """Whether one of them is in parts; all tensors of a step are, or none."""
    return any(isinstance(tensor, DTensor) for tensor in tensors)


def summed(value: Tensor, like: Iterable[Tensor]) -> Tensor:
    """``value`` summed over the ranks where the tensors ``like`` are in parts; else ``value`` itself."""
    if not any_sharded(like):
        return value
    total = value.clone()
    dist.all_reduce(total)
    return total


def full(tensor: Tensor) -> Tensor:
    """The whole tensor, on every rank; no gradient flows through it."""
    return _detached(tensor).full_tensor() if isinstance(tensor, DTensor) else tensor.detach()


def _detached(tensor: DTensor) -> DTensor:
    return cast(DTensor, tensor.detach())


def cut(whole: Tensor, like: Tensor) -> Tensor:
    """This rank's part of ``whole``, placed as ``like`` is; every rank gives the same ``whole``, nothing is sent."""
    if not isinstance(like, DTensor):
        return whole
    moved = whole.to(like.device)
    return distribute_tensor(moved, like.device_mesh, like.placements, src_data_rank=None)


def normal_like(weight: Tensor, generator: torch.Generator) -> Tensor:
    """N(0, 1) in the shape of ``weight``, the same values on one rank and on many: drawn whole, then cut."""
    if not isinstance(weight, DTensor):
        return torch.empty_like(weight, requires_grad=False).normal_(generator=generator)
    whole = torch.empty(weight.shape, dtype=weight.dtype, device=weight.device)
    return cut(whole.normal_(generator=generator), weight)


def frozen_copy(module: nn.Module) -> nn.Module:
    """A copy of a small module with whole weights that do not move."""
    whole = {id(weight): nn.Parameter(full(weight).clone(), requires_grad=False) for weight in module.parameters()}
    return copy.deepcopy(module, memo=whole)


def add_up_(weights: Mapping[str, nn.Parameter]) -> None:
    """Sum over the ranks, in place, the gradients of weights of which every rank holds all (adapters)."""
    for weight in weights.values():
        if not isinstance(weight, DTensor) and weight.grad is not None:
            dist.all_reduce(weight.grad)
