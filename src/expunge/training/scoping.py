"""Preparing a scope on a model that may be spread over ranks.

A scope of whole tensors picks shards by name, and an adapter is whole on every rank (it is small). A scope that looks
inside tensors chooses on a whole copy of the weights, on the CPU, and its masks are then cut as the weights are.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, Replicate
from transformers import PreTrainedModel

from expunge.distributed.copies import whole_copy
from expunge.distributed.sharding import averaged, sharding_of
from expunge.distributed.shards import cut, full
from expunge.scopes.base import Gauge, Prepared, Scope, prepared, select
from expunge.training.gauge import StreamGauge

ADAPTERS, WHOLE_TENSORS = "adapters", "whole tensors"


@contextmanager
def scoped(scope: Scope, model: PreTrainedModel, seed: int, gauge: StreamGauge) -> Iterator[Prepared]:
    """:func:`expunge.scopes.base.prepared`, whether the model is whole or spread."""
    if sharding_of(model) is None or scope.family == WHOLE_TENSORS:
        with prepared(scope, model, seed, gauge) as ready:
            yield ready
        return
    ready = _adapted(scope, model, seed) if scope.family == ADAPTERS else _masked(scope, model, seed, gauge)
    try:
        yield ready
    finally:
        ready.finish()


def _adapted(scope: Scope, model: PreTrainedModel, seed: int) -> Prepared:
    """Adapters that are whole on every rank; at the end they are cut as what they are merged into."""
    ready = scope.prepare(model, seed)
    mesh = next(weight for weight in model.parameters() if isinstance(weight, DTensor)).device_mesh

    def finish() -> PreTrainedModel:
        for part in ready.model.modules():
            for name, weight in part._parameters.items():
                if weight is not None and not isinstance(weight, DTensor):
                    parted = DTensor.from_local(weight.detach(), mesh, [Replicate()], run_check=False)
                    part._parameters[name] = nn.Parameter(parted, requires_grad=False)
        return ready.finish()

    return replace(ready, finish=finish)


def _masked(scope: Scope, model: PreTrainedModel, seed: int, gauge: StreamGauge) -> Prepared:
    """The masks that the scope finds on a whole copy of the model, cut as the weights are."""
    chosen = scope.prepare(whole_copy(model), seed, _WholeGauge(gauge))
    ones = {name: torch.ones_like(weight) for name, weight in chosen.weights.items()}
    found = {name: mask.ne(0) for name, mask in chosen.project(ones).items()}
    ready = select(model, found.__contains__, f"scope {type(scope).__name__}")
    masks = {name: cut(mask, ready.weights[name]) for name, mask in found.items()}
    return replace(ready, project=_projection(masks))


def _projection(masks: Mapping[str, Tensor]) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    def project(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: tensor.where(masks[name], torch.zeros_like(tensor)) for name, tensor in tensors.items()}

    return project


@dataclass(frozen=True)
class _WholeGauge(Gauge):
    """The spread model's measures, as whole tensors on the CPU. All ranks measure all rows, and agree."""

    parted: StreamGauge

    @property
    def view(self) -> Any:
        return self.parted.view

    def gradient(self, stream: str) -> dict[str, Tensor]:
        with averaged(self.view.model):
            return _whole(self.parted.gradient(stream))

    def fisher(self, stream: str) -> dict[str, Tensor]:
        with averaged(self.view.model):
            return _whole(self.parted.fisher(stream))

    def routing_E(self, stream: str, layer: int) -> Tensor:
        return self.parted.routing_E(stream, layer)

    def routing(self, stream: str) -> dict[int, Tensor]:
        return self.parted.routing(stream)


def _whole(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: full(tensor).cpu() for name, tensor in tensors.items()}
