"""The Unlearning Depth Score: how much of the answer is missing from the hidden states, layer by layer.

Shapes: B rows of a batch, R rows, L layers, T positions, D hidden width.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, Literal

import torch
from torch import Tensor

from expunge.core.errors import InputError
from expunge.metrics.base import Evidence, Metric, Need, Reading, Value, interval
from expunge.metrics.layers import evenly, same_depth, same_width
from expunge.models.rows import Batch, Row
from expunge.models.view import View
from expunge.registry import metric
from expunge.scoring.batching import batches_by_length
from expunge.scoring.label_states import without_end
from expunge.scoring.teacher_forced import evaluating

MAX_TOKENS = 4096
"""Padded tokens of a batch."""


@metric("depth_score")
@dataclass(frozen=True, kw_only=True)
class DepthScore(Metric):
    """Unlearning Depth Score: 0 where all knowledge is still in the hidden states, 1 where none is left to find.

    Lee et al. (arXiv 2605.24614). With Δˢ_l the fall of the original's mean log-probability of a row's answer tokens
    when its hidden states after block l are replaced by those of source s (control, then the model measured),
    UDS = Σ_l clip(Δᵐ_l, 0, Δᶜ_l) / Σ_l Δᶜ_l over the layers with Δᶜ_l > ``threshold`` nats a token (theirs: 0.05). A
    row without such a layer is left out: there the control's states lack nothing. ``layers`` hold the same share over
    all rows, layer by layer.

    Every position of the row is replaced, so that what follows block l has nothing but the source's states (our
    reading of the paper, which says that hidden states are patched). Answer tokens are all label tokens but the
    closing end token; the paper marks the span of an entity inside a long answer, which facts here do not carry.
    ``samples``: at most so many probes (our choice: the cost is 2 · layers + 3 passes over each).
    """

    direction: ClassVar[Literal["lower", "higher"]] = "higher"
    never_trained: ClassVar[float | None] = 1.0
    needs: ClassVar[tuple[Need, ...]] = ("asked", "model", "original", "control")
    costly: ClassVar[bool] = True
    forget_only: ClassVar[bool] = True

    threshold: float = 0.05
    samples: int = 64

    def __post_init__(self) -> None:
        """Refuse a threshold below 0 and an empty choice of rows."""
        if self.threshold < 0 or self.samples < 1:
            raise InputError("depth_score needs threshold ≥ 0 and samples ≥ 1; change them.")

    def rows(self, evidence: Evidence) -> list[Value]:
        """A share in [0, 1] a probe."""
        return self._read(evidence)[0]

    def compute(self, evidence: Evidence, *, seed: int = 0) -> Reading:
        """The mean over probes with its interval, and the layers."""
        if (lack := self.lacking(evidence)) is not None:
            return lack
        try:
            values, profile = self._read(evidence)
        except InputError as error:
            return Reading(None, reason=f"not computed: {error}")
        if not values:
            return Reading(None, reason="not computed: the control's hidden states lack none of the answers.")
        return replace(interval(values, proportion=False, seed=seed), layers=profile)

    def _read(self, evidence: Evidence) -> tuple[list[Value], tuple[float | None, ...]]:
        """Every judged row's share, and every layer's."""
        assert evidence.model is not None and evidence.original is not None and evidence.control is not None
        asked = evenly(evidence.asked or (), self.samples)
        rows = [without_end(item.row, evidence.end_ids) for item in asked]
        original = evidence.original.view()
        lacks_RL = falls(original, evidence.control.view(), rows, "control")
        falls_RL = falls(original, evidence.model.view(), rows, "measured")
        weights_RL = torch.where(lacks_RL > self.threshold, lacks_RL, 0.0)
        erased_RL = torch.minimum(falls_RL.clamp(min=0), weights_RL)
        pairs = zip(asked, erased_RL.sum(1).tolist(), weights_RL.sum(1).tolist(), strict=True)
        values = [Value(item.fact.subject, erased / weight) for item, erased, weight in pairs if weight > 0]
        sums = zip(erased_RL.sum(0).tolist(), weights_RL.sum(0).tolist(), strict=True)
        return values, tuple(erased / weight if weight > 0 else None for erased, weight in sums)


def falls(original: View, source: View, rows: Sequence[Row], name: str) -> Tensor:
    """Δ [R, L]: how far the original's mean label log-probability falls with the source's states, nats a token; fp64.

    Raises :class:`InputError` when the two are not of one shape.
    """
    layers = range(same_depth(original, source, name))
    same_width(original, source, name)
    found: dict[int, Tensor] = {}
    with evaluating(original.model), evaluating(source.model):
        for indices in batches_by_length([len(row.ids) for row in rows], MAX_TOKENS):
            batch = original.collate([rows[index] for index in indices])
            for index, falls_L in zip(indices, _batch(original, source, batch, layers), strict=True):
                found[index] = falls_L
    return torch.stack([found[index] for index in range(len(rows))])


def _batch(original: View, source: View, batch: Batch, layers: Sequence[int]) -> Tensor:
    """Δ [B, L] of one batch."""
    own_B = original.forward(batch).nll_mean_B()
    hidden = source.forward(batch, logits=False, hidden=layers, stop_after=max(layers)).hidden
    columns = []
    for layer in layers:
        with original.perturb(f"block.{layer}", partial(_instead, hidden[layer])):
            columns.append(original.forward(batch).nll_mean_B() - own_B)
    return torch.stack(columns, 1).double().cpu()


def _instead(states_BTD: Tensor, replaced_BTD: Tensor) -> Tensor:
    return states_BTD.to(replaced_BTD)
