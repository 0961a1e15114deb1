"""Hidden states at the positions that predict label tokens, layer by layer; what readouts look at.

Shapes: L layers, N label tokens of a row, R rows, D hidden width.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from expunge.core.errors import InputError
from expunge.models.rows import Row
from expunge.models.view import View
from expunge.scoring.batching import batches_by_length
from expunge.scoring.teacher_forced import evaluating

MAX_TOKENS = 4096
"""Padded tokens of a batch."""


def label_states(view: View, rows: Sequence[Row], layers: Sequence[int]) -> list[Tensor]:
    """For each row, in input order, the block outputs [L, N, D] that come right before its label tokens; fp32, CPU.

    Causal: the state before a token has not seen it, nor what follows. Rows of equal content are computed once.
    """
    contents = {(row.ids, row.labels): row for row in rows}
    unique = list(contents.values())
    found: dict[tuple[tuple[int, ...], tuple[bool, ...]], Tensor] = {}
    with evaluating(view.model):
        for indices in batches_by_length([len(row.ids) for row in unique], MAX_TOKENS):
            members = [unique[index] for index in indices]
            for row, states_LND in zip(members, _batch(view, members, layers), strict=True):
                found[row.ids, row.labels] = states_LND
    return [found[row.ids, row.labels] for row in rows]


def _batch(view: View, rows: Sequence[Row], layers: Sequence[int]) -> tuple[Tensor, ...]:
    batch = view.collate(rows)
    hidden = view.forward(batch, logits=False, hidden=layers, stop_after=max(layers)).hidden
    mask_BT = batch.labels_BT[:, 1:]
    states_LND = torch.stack([hidden[layer][:, :-1][mask_BT].float().cpu() for layer in layers])
    return torch.split(states_LND, [row.num_labels for row in rows], 1)


def question_states(view: View, rows: Sequence[Row], layers: Sequence[int]) -> Tensor:
    """States [R, L, D] right before the answer begins: all that the model has made of the question."""
    return torch.stack([states_LND[:, 0] for states_LND in label_states(view, [*map(opening, rows)], layers)])


def opening(row: Row) -> Row:
    """The row up to its first label token, which is the only label left. Raises :class:`InputError` without one."""
    if not row.num_labels:
        raise InputError(f"row {row.key!r} has no label token; give its answer some text.")
    end = row.labels.index(True) + 1
    return replace(row, ids=row.ids[:end], labels=row.labels[:end])


def without_end(row: Row, end_ids: Collection[int]) -> Row:
    """The row whose closing end token is no label: it belongs to every answer and tells nothing of this one.

    Raises :class:`InputError` where nothing else is a label.
    """
    closed = row.labels[-1] and row.ids[-1] in end_ids
    labels = (*row.labels[:-1], False) if closed else row.labels
    if not any(labels):
        raise InputError(f"row {row.key!r} has no label token beside the end token; give its answer some text.")
    return replace(row, labels=labels)
