"""Gaussian noise on weights, relative to their size. The noise attack and the methods that add noise share it."""

from collections.abc import Mapping

import torch
from torch import Tensor

from expunge.core.seeds import derive


def add_noise_(weights: Mapping[str, Tensor], sigma: float, seed: int) -> None:
    """W += σ·rms(W)·N(0, 1) for every W, in place: ‖ΔW‖ ≈ σ‖W‖.

    The noise of a weight depends on ``seed`` and its name alone; it is drawn on the CPU, whatever the device.
    """
    for name, weight in weights.items():
        source = torch.Generator().manual_seed(derive(seed, name))
        noise = torch.randn(weight.shape, generator=source).to(weight.device)
        weight.add_(noise * weight.square().mean().sqrt(), alpha=sigma)
