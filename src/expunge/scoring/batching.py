"""Rows cut into batches of near-equal length, and what one pass over a batch yields.

Shapes: N label tokens that the pass reached, D width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from expunge.models.rows import Row


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows after their pass: hidden states [N, D] from which label tokens [N] are predicted, before the head.

    ``places`` are each row's label tokens among the N; rows may share them.
    """

    rows: Sequence[Row]
    hidden_ND: Tensor
    targets_N: Tensor
    places: Sequence[Sequence[int]]


def batches_by_length(lengths: Sequence[int], max_tokens: int, ranks: int = 1) -> list[list[int]]:
    """Indices cut into batches of near-equal length whose padded size stays within ``max_tokens``.

    A single row longer than ``max_tokens`` is a batch of its own: nothing is truncated. Where several ``ranks`` share
    the batches out, a few rows are cut smaller, so that none of them is idle.
    """
    max_tokens = min(max_tokens, -(-sum(lengths) // ranks)) if ranks > 1 else max_tokens
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda item: (-lengths[item], item)):
        if batches and (len(batches[-1]) + 1) * lengths[batches[-1][0]] <= max_tokens:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches
