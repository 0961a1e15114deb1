"""Optimizer, learning-rate schedule, weight decay and clipping; every one a single operation over all tensors."""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from expunge.distributed.shards import locals_of
from expunge.scopes.base import Prepared
from expunge.training.config import TrainConfig


def _adamw(weights: list[Parameter], lr: float) -> Optimizer:
    return AdamW(weights, lr=lr, weight_decay=0.0, fused=True)


def _sgd(weights: list[Parameter], lr: float) -> Optimizer:
    return SGD(weights, lr=lr, foreach=True)


_OPTIMIZERS: Mapping[str, Callable[[list[Parameter], float], Optimizer]] = {"adamw": _adamw, "sgd": _sgd}


def optimizer_of(config: TrainConfig, weights: Mapping[str, Parameter]) -> Optimizer:
    """The optimizer, without weight decay (the loop applies it, inside the scope only).

    AdamW has torch's defaults: β = (0.9, 0.999), ε = 1e-8. SGD has no momentum.
    """
    return _OPTIMIZERS[config.optimizer](list(weights.values()), config.lr)


def _constant(progress: float) -> float:
    return 1.0


def _linear(progress: float) -> float:
    return 1.0 - progress


def _cosine(progress: float) -> float:
    return 0.5 * (1.0 + math.cos(math.pi * progress))


_SHAPES: Mapping[str, Callable[[float], float]] = {"constant": _constant, "linear": _linear, "cosine": _cosine}


def lr_factor(config: TrainConfig, total: int, step: int) -> float:
    """Share of ``config.lr`` used in step ``step`` (from 0) of ``total``.

    Warm-up rises linearly and gives the first step 1/w, not 0: a step at rate 0 would be wasted. The decay reaches 0
    just after the last step.
    """
    warm = round(config.warmup * total)
    if step < warm:
        return (step + 1) / warm
    return _SHAPES[config.schedule](min(1.0, (step - warm) / max(1, total - warm)))


def scheduler_of(optimizer: Optimizer, config: TrainConfig, total: int, start: int) -> LambdaLR:
    """The schedule, standing at step ``start``."""
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"] = config.lr
    return LambdaLR(optimizer, lambda step: lr_factor(config, total, step), last_epoch=start - 1)


def clip_(grads: Mapping[str, Tensor], norm: float, limit: float | None) -> None:
    """Scale ``grads`` in place so that their global L2 norm, now ``norm``, is at most ``limit``."""
    if limit is not None and norm > limit:
        torch._foreach_mul_(locals_of(grads.values()), limit / norm)


def decay_(prepared: Prepared, amount: float) -> None:
    """Subtract ``amount`` (lr × weight decay) times the weights inside the scope, in place; vectors are spared.

    Sparing norms and biases is what the Hugging Face trainer does. The projection makes it hold inside tensors too.
    """
    if not amount:
        return
    matrices = {name: weight.detach() for name, weight in prepared.weights.items() if weight.ndim >= 2}
    shrink = prepared.project(matrices)
    if shrink:
        weights = locals_of(prepared.weights[name].detach() for name in shrink)
        torch._foreach_add_(weights, locals_of(shrink.values()), alpha=-amount)
