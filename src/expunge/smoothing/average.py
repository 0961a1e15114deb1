"""What the averages of weights along training share; they may wrap another smoother."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from expunge import registry
from expunge.core.errors import InputError
from expunge.distributed.shards import locals_of
from expunge.smoothing.base import Grads, Problem, Smoother, SmoothingState

COUNT, MEAN = "count", "mean/"


@dataclass(frozen=True, kw_only=True)
class WeightAverage(Smoother):
    """An average of the weights along training, kept in fp32 and put into the model at the end.

    ``start`` is the share of the steps before the first that counts. ``inner`` is the smoother that makes the forget
    gradient: a name, or ``{name: sam, rho: 0.05}``. A run that stops before the first step that counts keeps its
    weights. Under LoRA the factors are averaged, each by itself.
    """

    start: float = 0.0
    inner: str | Mapping[str, Any] = "none"

    def __post_init__(self) -> None:
        """Refuse a start outside the run, and an average of averages."""
        if not 0 <= self.start <= 1:
            raise InputError(f"smoothing parameter 'start' is {self.start!r}; it must be a share, from 0 to 1.")
        kind = type(self.wrapped)
        if kind.after_step is not Smoother.after_step or kind.finish is not Smoother.finish:
            raise InputError(f"smoothing parameter 'inner' is {self.inner!r}, an average itself; choose another.")

    @cached_property
    def wrapped(self) -> Smoother:
        """The inner smoother."""
        chosen = {"name": self.inner} if isinstance(self.inner, str) else dict(self.inner)
        if "name" not in chosen:
            raise InputError("smoothing parameter 'inner' needs the key 'name'; add it, such as name: sam.")
        inner: Smoother = registry.build("smoother", chosen.pop("name"), **chosen)
        return inner

    @property
    def points(self) -> float:
        """The inner smoother's."""
        return self.wrapped.points

    def streams(self) -> tuple[str, ...]:
        """The inner smoother's."""
        return self.wrapped.streams()

    def gradient(self, problem: Problem) -> Grads:
        """The inner smoother's gradient."""
        return self.wrapped.gradient(problem)

    def counts(self, step: int, total: int) -> bool:
        """Whether the weights after ``step`` (from 1) enter the average."""
        return step >= round(self.start * total)

    def share(self, count: int) -> float:
        """The weight of the newest of ``count`` entries; the older ones keep the rest among them."""
        raise NotImplementedError

    def after_step(self, weights: Mapping[str, Tensor], step: int, total: int, state: SmoothingState) -> None:
        """Take the weights in."""
        if not self.counts(step, total):
            return
        live = {name: weight.detach() for name, weight in weights.items()}
        count = int(state[COUNT]) + 1 if COUNT in state else 1
        if count == 1:
            state.update({MEAN + name: weight.clone() for name, weight in live.items()})
        else:
            torch._foreach_lerp_(locals_of(_means(live, state)), locals_of(live.values()), self.share(count))
        state[COUNT] = torch.tensor(count)

    def finish(self, weights: Mapping[str, Tensor], state: SmoothingState) -> None:
        """Put the average into the model, where there is one."""
        if COUNT in state:
            live = {name: weight.detach() for name, weight in weights.items()}
            torch._foreach_copy_(locals_of(live.values()), locals_of(_means(live, state)))


def _means(live: Mapping[str, Tensor], state: SmoothingState) -> list[Tensor]:
    """The averages, in the order of ``live``; a checkpoint leaves them on the CPU, from where they are moved once."""
    for name, weight in live.items():
        state[MEAN + name] = state[MEAN + name].to(weight.device)
    return [state[MEAN + name] for name in live]
