"""Exact KL divergence between two models at label positions.

Shapes: N label tokens of a batch, V vocabulary.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from expunge.core.errors import InputError
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

    Both models run on the same batches, so nothing is stored between passes.
    :class:`InputError` when the vocabularies differ.
    """
    made: dict[int, RowKL] = {}
    with evaluating(reference.model), evaluating(view.model):
        for indices in batches_by_length([len(row.ids) for row in rows], max_tokens):
            members = [rows[index] for index in indices]
            for index, row_kl in zip(indices, _batch(reference, view, members), strict=True):
                made[index] = row_kl
    return [made[index] for index in range(len(rows))]


def _batch(reference: View, view: View, rows: Sequence[Row]) -> list[RowKL]:
    outputs = [each.forward(each.collate(rows), logits=False, final_hidden=True) for each in (reference, view)]
    hidden = [torch.split(each.final_hidden_ND, HEAD_CHUNK) for each in outputs]
    values: list[float] = []
    for old_CD, new_CD in zip(*hidden, strict=True):
        old_CV, new_CV = reference.head_logits(old_CD), view.head_logits(new_CD)
        if old_CV.shape != new_CV.shape:
            raise InputError(f"vocabularies of {old_CV.shape[1]} and {new_CV.shape[1]} tokens have no KL; compare kin.")
        old_CV, new_CV = old_CV.log_softmax(-1), new_CV.log_softmax(-1).to(old_CV.device)
        values += (old_CV.exp() * (old_CV - new_CV)).sum(-1).tolist()
    ends = [0]
    for row in rows:
        ends.append(ends[-1] + row.num_labels)
    return [RowKL(row.key, tuple(values[ends[i] : ends[i + 1]])) for i, row in enumerate(rows)]
