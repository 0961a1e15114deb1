"""Exact KL divergence between two models at label positions.

Shapes: N label tokens of a batch, V vocabulary.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from expunge.core.errors import InputError
from expunge.distributed.rows import turns
from expunge.distributed.sharding import ranks_of
from expunge.models.rows import Row
from expunge.models.view import View
from expunge.scoring.batching import batches_by_length
from expunge.scoring.teacher_forced import HEAD_CHUNK, evaluating


@dataclass(frozen=True, slots=True)
class RowKL:
    """KL(θ₀‖θ) at each label token of a row, in nats."""

    key: str
    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean over the row's label tokens, in nats."""
        return math.fsum(self.values) / len(self.values)


def kl_by_row(reference: View, view: View, rows: Sequence[Row], *, max_tokens: int = 4096) -> list[RowKL]:
    """KL(θ₀‖θ) = Σ_v p₀(v) · (log p₀(v) − log p(v)) at every label position, in input order.

    Both models run on the same batches, so nothing is stored between passes. Ranks that share ``view``'s model share
    the batches out.
    :class:`InputError` when the vocabularies differ.
    """
    made: dict[int, RowKL] = {}
    with evaluating(reference.model), evaluating(view.model):
        ranks = ranks_of(view.model)
        for indices, own in turns(batches_by_length([len(row.ids) for row in rows], max_tokens, ranks.size), ranks):
            found = _batch(reference, view, [rows[index] for index in indices])
            if own:
                made.update(zip(indices, found, strict=True))
    made = ranks.merged(made)
    return [made[index] for index in range(len(rows))]


def _batch(reference: View, view: View, rows: Sequence[Row]) -> list[RowKL]:
    outputs = [each.forward(each.collate(rows), logits=False, final_hidden=True) for each in (reference, view)]
    hidden = [torch.split(each.final_hidden_ND, HEAD_CHUNK) for each in outputs]
    values: list[float] = []
    for old_CD, new_CD in zip(*hidden, strict=True):
        old_CV, new_CV = _logits(reference, old_CD), _logits(view, new_CD)
        if old_CV.shape != new_CV.shape:
            raise InputError(f"vocabularies of {old_CV.shape[1]} and {new_CV.shape[1]} tokens have no KL; compare kin.")
        old_CV, new_CV = old_CV.log_softmax(-1), new_CV.log_softmax(-1).to(old_CV.device)
        values += (old_CV.exp() * (old_CV - new_CV)).sum(-1).tolist()
    ends = [0]
    for row in rows:
        ends.append(ends[-1] + row.num_labels)
    return [RowKL(row.key, tuple(values[ends[i] : ends[i + 1]])) for i, row in enumerate(rows)]


def _logits(view: View, hidden_CD: Tensor) -> Tensor:
    return view.within(partial(view.head_logits, hidden_CD))
