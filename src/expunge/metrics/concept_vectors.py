"""Concept-vector traces: how far single columns of the MLP down-projections have moved, and what they spell.

Shapes: K columns, F hidden units of an MLP, D hidden width, V vocabulary.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional

from expunge.attacks.matrices import outputs_first
from expunge.core.errors import InputError
from expunge.metrics.base import Evidence, Metric, Need, Reading, Value
from expunge.metrics.layers import mean, same_depth, same_width
from expunge.models.view import View
from expunge.registry import metric

Column = tuple[int, int]


def columns_FD(view: View, layer: int) -> Tensor:
    """The down-projection's columns as rows; fp32. Raises :class:`InputError` for a mixture of experts."""
    linear = view.anatomy.mlp_output(layer)
    weight: Tensor = linear.weight  # type: ignore[assignment]
    return outputs_first(linear, weight.detach()).float().T


def changed(view: View, original: View, top: int) -> list[Column]:
    """The ``top`` columns whose relative change ‖v − v₀‖/‖v₀‖ is largest, as (layer, unit); ties in order."""
    moved = []
    for layer in range(view.anatomy.num_layers):
        new_FD, old_FD = columns_FD(view, layer), columns_FD(original, layer).to(view.device)
        moved.append((new_FD - old_FD).norm(dim=1) / old_FD.norm(dim=1).clamp(min=1e-12))
    sizes, order = [len(each) for each in moved], torch.cat(moved).cpu().sort(descending=True, stable=True).indices
    places = [(layer, unit) for layer, size in enumerate(sizes) for unit in range(size)]
    return [places[int(index)] for index in order[:top]]


@dataclass(frozen=True, kw_only=True)
class _Trace(Metric):
    """Base of the three."""

    needs: ClassVar[tuple[Need, ...]] = ("model", "original")
    costly: ClassVar[bool] = True
    forget_only: ClassVar[bool] = True

    top: int = 100
    columns: tuple[Column, ...] | None = None

    def __post_init__(self) -> None:
        """Take lists for tuples; refuse an empty choice."""
        if self.columns is not None:
            pairs = tuple((int(layer), int(unit)) for layer, unit in self.columns)
            object.__setattr__(self, "columns", pairs)
        if self.top < 1 or self.columns == ():
            raise InputError("concept vectors need at least one column; raise 'top' or name some in 'columns'.")

    def measure(self, new_KD: Tensor, old_KD: Tensor, view: View, original: View) -> Sequence[float]:
        """One value a column."""
        raise NotImplementedError

    def rows(self, evidence: Evidence) -> list[Value]:
        """None: columns belong to no subject."""
        return []

    def compute(self, evidence: Evidence, *, seed: int = 0) -> Reading:
        """The mean over columns, and over each layer's; ``n`` is the number of columns.

        Nothing is sampled, so the interval has no width.
        """
        if (lack := self.lacking(evidence)) is not None:
            return lack
        try:
            return self._read(evidence)
        except InputError as error:
            return Reading(None, reason=f"not computed: {error}")

    def _read(self, evidence: Evidence) -> Reading:
        assert evidence.model is not None and evidence.original is not None
        view, original = evidence.model.view(), evidence.original.view()
        layers = range(same_depth(view, original, "original"))
        same_width(view, original, "original")
        chosen = self.columns or changed(view, original, self.top)
        found: dict[int, Sequence[float]] = {}
        for layer, units in _by_layer(chosen).items():
            if layer not in layers:
                raise InputError(f"layer {layer} is not in this model; choose 0 to {len(layers) - 1}.")
            new_KD, old_KD = (_picked(columns_FD(each, layer), units) for each in (view, original))
            found[layer] = self.measure(new_KD, old_KD.to(new_KD.device), view, original)
        profile = tuple(mean(found.get(layer, ())) for layer in layers)
        value = mean([value for part in found.values() for value in part])
        return Reading(value, value, value, len(chosen), layers=profile)


@metric("concept_cosine")
@dataclass(frozen=True, kw_only=True)
class ConceptCosine(_Trace):
    """Cosine of a down-projection column with the original's, over the columns that changed most; 1 where none moved.

    ConceptVectors (Hong et al., arXiv 2406.11614): some columns of W_down read out, through the unembedding, as one
    concept, and behaviour often changes while they stay. ``columns`` names them as (layer, unit) pairs where they have
    been located; without it the ``top`` columns of largest relative change are taken (100, our choice), so that even
    those staying close to 1 says that nothing was rewritten. Dense MLPs only.
    """

    range: ClassVar[tuple[float, float]] = (-1.0, 1.0)

    def measure(self, new_KD: Tensor, old_KD: Tensor, view: View, original: View) -> Sequence[float]:
        """Cosines."""
        return functional.cosine_similarity(new_KD, old_KD, dim=1).tolist()


@metric("concept_distance")
@dataclass(frozen=True, kw_only=True)
class ConceptDistance(_Trace):
    """Euclidean distance of a down-projection column from the original's; columns as in ``concept_cosine``."""

    direction: ClassVar[Literal["lower", "higher"]] = "higher"
    range: ClassVar[tuple[float, float]] = (0.0, float("inf"))

    def measure(self, new_KD: Tensor, old_KD: Tensor, view: View, original: View) -> Sequence[float]:
        """Norms of differences."""
        return (new_KD - old_KD).norm(dim=1).tolist()  # type: ignore[no-any-return]


@metric("concept_overlap")
@dataclass(frozen=True, kw_only=True)
class ConceptOverlap(_Trace):
    """Jaccard overlap of the tokens that a column spells with those of the original's; as in ``concept_cosine``.

    A column v spells the ``tokens`` tokens of largest E·v, with each model's own unembedding E (theirs: 200). Two
    random columns share about k/(2V − k) of them.
    """

    tokens: int = 200

    def measure(self, new_KD: Tensor, old_KD: Tensor, view: View, original: View) -> Sequence[float]:
        """Jaccard indices."""
        new, old = _spelt(new_KD, view, self.tokens), _spelt(old_KD, original, self.tokens)
        return [len(mine & theirs) / len(mine | theirs) for mine, theirs in zip(new, old, strict=True)]


def _spelt(vectors_KD: Tensor, view: View, tokens: int) -> list[set[int]]:
    head_VD: Tensor = view.anatomy.head.weight.detach().float()  # type: ignore[operator]
    if not 1 <= tokens <= len(head_VD):
        raise InputError(f"'tokens' is {tokens}, and the vocabulary has {len(head_VD)}; choose a number in between.")
    scores_KV = vectors_KD.to(head_VD.device) @ head_VD.T
    return [set(row) for row in scores_KV.topk(tokens).indices.tolist()]


def _by_layer(columns: Sequence[Column]) -> Mapping[int, list[int]]:
    found: dict[int, list[int]] = {}
    for layer, unit in columns:
        found.setdefault(layer, []).append(unit)
    return found


def _picked(rows_FD: Tensor, units: Sequence[int]) -> Tensor:
    if not all(0 <= unit < len(rows_FD) for unit in units):
        raise InputError(f"unit {max(units)} is not in this MLP; choose 0 to {len(rows_FD) - 1}.")
    return rows_FD[list(units)]
