"""Gaussian noise on the weights, drawn so that it depends on the step, the draw and the weight's name only.

The world size does not matter: see :func:`expunge.distributed.shards.normal_like`.
"""

import torch

from expunge.core.seeds import derive
from expunge.distributed.shards import normal_like
from expunge.smoothing.base import Grads, Problem


def gaussian(problem: Problem, draw: int) -> Grads:
    """N(0, 1) for every coordinate inside the scope, 0 outside of it."""
    noise: Grads = {}
    for name, weight in problem.weights.items():
        generator = torch.Generator(device=weight.device)
        generator.manual_seed(derive(problem.seed, "noise", draw, name))
        noise[name] = normal_like(weight, generator)
    return problem.project(noise)
