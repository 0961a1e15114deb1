"""Gaussian noise on weights, relative to their size. The noise attack and the methods that add noise share it."""

from collections.abc import Mapping

import torch
from torch import Tensor

from expunge.core.seeds import derive
from expunge.distributed.shards import cut, local, summed


def add_noise_(weights: Mapping[str, Tensor], sigma: float, seed: int) -> None:
    """W += σ·rms(W)·N(0, 1) for every W, in place: ‖ΔW‖ ≈ σ‖W‖.

    The noise of a weight depends on ``seed`` and its name alone; it is drawn whole on the CPU, whatever the
    device and however many processes hold a part of it.
    """
    for name, weight in weights.items():
        source = torch.Generator().manual_seed(derive(seed, name))
        noise = cut(torch.randn(weight.shape, generator=source).to(weight.device), weight)
        size = (summed(local(weight).square().sum(), [weight]) / weight.numel()).sqrt()
        local(weight).add_(local(noise) * size, alpha=sigma)
