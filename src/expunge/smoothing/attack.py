"""A short relearning attack, simulated at accumulated displacements of the weights."""

from collections.abc import Iterator

import torch

from expunge.core.errors import InputError
from expunge.distributed.shards import locals_of
from expunge.smoothing.base import Grads, Problem, add_


def attack(problem: Problem, steps: int, lr: float) -> Iterator[tuple[int, Grads]]:
    """The step (from 1) and the displacement after it of an attacker who descends the forget rows' label NLL.

    A step is δ ← δ − lr·sign(∇NLL(θ + δ)): what Adam does in its first step, and in the next ones while a coordinate's
    gradient keeps its sign and size, as it nearly does in a few steps on the same rows. It needs none of Adam's moments
    in memory. The displacement is the attack's own tensor and changes with the next step.
    """
    delta: Grads = {}
    for step in range(1, steps + 1):
        signs = problem.attack_grad(at=delta or None)
        torch._foreach_sign_(locals_of(signs.values()))
        if delta:
            add_(delta, signs, -lr)
        else:
            torch._foreach_mul_(locals_of(signs.values()), -lr)
            delta = signs
        yield step, delta


def check_attack(steps: int, lr: float, least: int) -> None:
    """Refuse fewer than ``least`` steps and a rate ≤ 0."""
    if steps < least:
        raise InputError(f"smoothing parameter 'steps' is {steps!r}; it must be at least {least}.")
    if lr <= 0:
        raise InputError(f"smoothing parameter 'lr' is {lr!r}; it must be above 0.")
