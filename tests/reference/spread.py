"""The same training on one process and on several, compared number by number; runs inside a :class:`Pool`'s ranks."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch
import torch.distributed as dist
from torch.distributed.tensor import DTensor

from contracts.checks import run
from contracts.world import WORLDS, Trio, fresh, references_of, stream
from contracts.world import _other as another
from expunge.core.errors import InputError
from expunge.distributed.sharding import Layout, shard
from expunge.distributed.shards import full
from expunge.models.rows import Row
from expunge.models.view import View
from expunge.training import run as loop
from expunge.training.loop import TrainResult
from expunge.training.references import References

DRAWN = ("random_labels", "uniform_keep")
"""Objectives whose terms draw: what is drawn depends on how rows are cut, on ranks as in micro-batches."""
STILL = ("circuit_breakers", "output_matching")
"""Their gradient at θ₀ is zero but for rounding, which SAM would scale up to its radius: they get another θ₀."""
ALIKE = "refused alike: "


@dataclass
class Trace:
    """What a run left: gradients before clipping by step, the weights in the end, the log."""

    grads: list[dict[str, torch.Tensor]]
    weights: dict[str, torch.Tensor]
    result: TrainResult

    def distance(self, other: "Trace") -> dict[str, float]:
        """The largest difference of gradients, weights and losses."""
        grads = [_apart(one, two) for one, two in zip(self.grads, other.grads, strict=True)]
        left, right = self.result.losses, other.result.losses
        assert [entry.keys() for entry in left] == [entry.keys() for entry in right]
        losses = [abs(a[key] - b[key]) for a, b in zip(left, right, strict=True) for key in a.keys() - {"seconds"}]
        return {"grads": max(grads), "weights": _apart(self.weights, other.weights), "losses": max(losses)}


def _apart(one: Mapping[str, torch.Tensor], two: Mapping[str, torch.Tensor]) -> float:
    assert one.keys() == two.keys()
    return max(float((tensor.cpu() - two[name].cpu()).abs().max()) for name, tensor in one.items())


def traced(trio: Trio, world: str, dtype: torch.dtype, spread: bool, **changes: Any) -> Trace:
    """Train a fresh model as the trio says, on all ranks together or on this process alone."""
    view = fresh(world)
    view.model.to(dtype)
    if world == "moe":
        view.model.set_experts_implementation("eager")  # the grouped product knows no float64
    if spread:
        shard(view.model, Layout(world_size=dist.get_world_size()))
    grads: list[dict[str, torch.Tensor]] = []

    def clip(found: Mapping[str, torch.Tensor], norm: float, limit: float | None) -> None:
        grads.append({name: full(grad).clone() for name, grad in found.items()})
        assert not spread or "lora" in trio.scope or all(isinstance(grad, DTensor) for grad in found.values())
        loop_clip(found, norm, limit)

    loop_clip = loop.clip_
    cut = strided() if trio.objective in DRAWN and not spread else mock.MagicMock()
    with mock.patch.object(loop, "clip_", clip), exact(dtype), cut:
        result = run(trio, view, world, references=_wide(_references(trio, view, world), dtype), **changes)
    assert not spread or all(isinstance(weight, DTensor) for weight in view.model.parameters())
    return Trace(grads, {name: full(weight).clone() for name, weight in view.model.named_parameters()}, result)


def _references(trio: Trio, view: View, world: str) -> References:
    objective = trio.parts()[0]
    refs = references_of(view, world, objective)
    if trio.objective in STILL:
        streams = {name: stream(name) for name in objective.needs().streams}
        refs.complete(another(world), streams, objective.needs())
    return refs


def _wide(refs: References, dtype: torch.dtype) -> References:
    """What another model said, in the type of this run."""
    for store in refs.values.values():
        store.update({key: value.to(dtype) for key, value in store.items() if value.is_floating_point()})
    for head in refs.heads.values():
        head.to(dtype)
    return refs


@contextmanager
def exact(dtype: torch.dtype) -> Iterator[None]:
    """In float64, what the code (and transformers, in its norms) puts to float32 stays float64."""
    if dtype != torch.float64:
        yield
        return
    narrow, move = torch.Tensor.float, torch.Tensor.to

    def wide(tensor: torch.Tensor) -> torch.Tensor:
        return tensor if tensor.dtype == torch.float64 else narrow(tensor)

    def to(tensor: torch.Tensor, *values: Any, **named: Any) -> torch.Tensor:
        kept = tensor.dtype == torch.float64 and values == (torch.float32,)
        return tensor if kept else move(tensor, *values, **named)

    with mock.patch.object(torch.Tensor, "float", wide), mock.patch.object(torch.Tensor, "to", to):
        yield


@contextmanager
def strided() -> Iterator[None]:
    """One process accumulates over the very cuts that the ranks compute."""
    size = dist.get_world_size()

    def cuts(rows: Mapping[str, Sequence[Row]], micro_batch: int | None) -> list[dict[str, list[Row]]]:
        parts = [{name: list(stream[rank::size]) for name, stream in rows.items()} for rank in range(size)]
        return [{name: stream for name, stream in part.items() if stream} for part in parts]

    with mock.patch.object(loop, "micro_rows", cuts):
        yield


def compared(trios: Sequence[Trio], dtype: torch.dtype, changes: Mapping[str, Any]) -> dict[str, Any]:
    """By trio, how far the run on all ranks is from that on one process, or the sentence that refuses it.

    The runs on one process are shared out among the ranks; :func:`differences` puts the answers together.
    """
    found: dict[str, Any] = {}
    for index, trio in enumerate(trios):
        mine = index % dist.get_world_size() == dist.get_rank()
        for world in WORLDS:
            together = _tried(trio, world, dtype, True, changes)
            if isinstance(together, Trace) or world == WORLDS[-1]:
                break
        if mine:
            alone = _tried(trio, world, dtype, False, changes)
            found[trio.name] = _difference(together, alone)
    return found


def _difference(together: Trace | str, alone: Trace | str) -> dict[str, float] | str:
    if isinstance(together, Trace) and isinstance(alone, Trace):
        return together.distance(alone)
    return f"{ALIKE}{alone}" if together == alone else f"spread: {together}; alone: {alone}"


def differences(answers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What :func:`compared` found, of all ranks."""
    return {name: value for answer in answers for name, value in answer.items()}


def _tried(trio: Trio, world: str, dtype: torch.dtype, spread: bool, changes: Mapping[str, Any]) -> Trace | str:
    try:
        return traced(trio, world, dtype, spread, **changes)
    except InputError as error:
        return str(error)
