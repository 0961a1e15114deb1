"""EUL over several deletion requests: one adapter for each, fused in closed form."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from expunge.combine.gram import fuse_OD, gram_DD
from expunge.core.errors import InputError
from expunge.distributed.shards import cut, full
from expunge.knowledge.encode import rows_of
from expunge.knowledge.facts import Fact
from expunge.methods.base import Method
from expunge.methods.grammar import MethodSpec, parse
from expunge.methods.run import OneStage
from expunge.methods.work import Weights, Work
from expunge.models.rows import Row
from expunge.models.view import View
from expunge.objectives.base import Intent
from expunge.registry import method


@method("eul_fuse")
@dataclass(frozen=True, kw_only=True)
class EULFuse(Method):
    """Cut the forget facts into ``requests`` by subject, train ``inner`` on each from θ₀, fuse the changes.

    Of request i the change ΔW_i of every linear layer and the Gram matrix of the inputs X_i that the layer then has
    on its rows are kept; the fused change gives, as nearly as least squares can, ΔW_i on X_i
    (:mod:`expunge.combine.gram`). Chen & Yang (EMNLP 2023) report three requests in sequence, hence
    ``requests`` = 3. ``inner`` must move linear layers only, as the scope ``lora`` does. Each request takes the
    whole number of epochs, or of steps, of the training settings.
    """

    paper: ClassVar[str] = "Chen & Yang, EMNLP 2023"
    intent: ClassVar[Intent] = "removal"
    family: ClassVar[str] = "compound"
    equation: ClassVar[str] = "ΔW = (Σ X_iᵀX_i)⁻¹·Σ X_iᵀX_i·ΔW_i"
    inner: str | Mapping[str, Any] = "eul@lora"
    requests: int = 3

    def __post_init__(self) -> None:
        """Refuse a method with stages of its own and fewer than one request."""
        if self._spec().method is not None:
            raise InputError(f"method parameter 'inner' is {self._spec().name!r}; name an objective, such as eul@lora.")
        if self.requests < 1:
            raise InputError(f"method parameter 'requests' is {self.requests!r}; it must be at least 1.")

    def streams(self) -> tuple[str, ...]:
        """What the inner stage reads."""
        return OneStage(spec=self._spec()).streams()

    def passes(self) -> float:
        """Those of the inner stage: every forget row is in one request."""
        return OneStage(spec=self._spec()).passes()

    def run(self, work: Work) -> None:
        """A stage for each request, then the fusion."""
        spec, before = self._spec(), work.weights()
        changes: list[Weights] = []
        grams: list[Weights] = []
        for facts in by_request(work.material.forget, self.requests):
            work.put(before)
            rows = rows_of(facts, work.loaded.encoder, work.material.forms)
            work.method(spec, forget=facts)
            changes.append({name: value - before[name] for name, value in work.weights().items()})
            grams.append(input_grams(work.view(), rows))
        work.put(fused(before, changes, grams, _transposed(work.view())))

    def _spec(self) -> MethodSpec:
        return parse(self.inner)


def by_request(facts: Sequence[Fact], requests: int) -> list[tuple[Fact, ...]]:
    """``facts`` in ``requests`` parts of whole subjects, dealt out in order of appearance."""
    subjects = list(dict.fromkeys(fact.subject for fact in facts))
    if len(subjects) < requests:
        raise InputError(f"{len(subjects)} forget subjects cannot make {requests} requests; lower 'requests'.")
    parts = [set(subjects[index::requests]) for index in range(requests)]
    return [tuple(fact for fact in facts if fact.subject in part) for part in parts]


def input_grams(view: View, rows: Sequence[Row]) -> Weights:
    """XᵀX of what every linear layer reads on ``rows``, by the name of its weight.

    One row a pass: without padding every position counts.
    """
    grams: Weights = {}

    def add(name: str, inputs: Tensor) -> None:
        found = gram_DD(inputs.detach().flatten(0, -2))
        grams[name] = grams[name] + found if name in grams else found

    def watch(name: str) -> Any:
        return lambda module, inputs: add(name, inputs[0])

    with torch.no_grad(), ExitStack() as hooks:
        for name, module in _linears(view):
            hooks.callback(module.register_forward_pre_hook(watch(name)).remove)
        for row in rows:
            view.forward(view.collate([row]), logits=False)
    return grams


def fused(before: Weights, changes: Sequence[Weights], grams: Sequence[Weights], transposed: frozenset[str]) -> Weights:
    """``before`` plus the fused change of every weight that moved; a weight in parts is whole while it is fused.

    Raises :class:`InputError` for one that no Gram matrix belongs to.
    """
    after = dict(before)
    for name in before:
        moves = [full(change[name]) for change in changes]
        if not any(bool(move.any()) for move in moves):
            continue
        if any(name not in gram for gram in grams):
            raise InputError(
                f"weight {name} moved and is no linear layer inside the model; give 'inner' the scope lora."
            )
        turned = [move.T if name in transposed else move for move in moves]
        move = fuse_OD(turned, [gram[name] for gram in grams])
        after[name] = before[name] + cut(move.T if name in transposed else move, before[name])
    return after


def _linears(view: View) -> list[tuple[str, nn.Module]]:
    """Linear layers of the model's body by the name of their weight."""
    kinds = (nn.Linear, Conv1D)
    return [(f"{name}.weight", module) for name, module in view.model.named_modules() if isinstance(module, kinds)]


def _transposed(view: View) -> frozenset[str]:
    """Names of weights that are stored as [inputs, outputs]."""
    return frozenset(name for name, module in _linears(view) if isinstance(module, Conv1D))
