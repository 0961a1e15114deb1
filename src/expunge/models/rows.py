"""Token rows and padded batches.

Shapes: B rows, T positions (padded), N label tokens of the whole batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Row:
    """One tokenised text. ``labels[t]`` says that ``ids[t]`` is to be predicted from ``ids[:t]``.

    ``key`` identifies the row within its stream (references are stored under it). ``labels[0]`` is False.
    """

    key: str
    ids: tuple[int, ...]
    labels: tuple[bool, ...]

    @property
    def num_labels(self) -> int:
        """Number of label tokens."""
        return sum(self.labels)


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows padded on the right. The attention mask comes from lengths, never from ``id != pad``."""

    keys: tuple[str, ...]
    ids_BT: Tensor
    attention_BT: Tensor
    labels_BT: Tensor

    @property
    def num_rows(self) -> int:
        """Number of rows B."""
        return len(self.keys)

    @property
    def label_counts_B(self) -> Tensor:
        """Number of label tokens of each row, float32."""
        return self.labels_BT.sum(1).float()


def collate(rows: Sequence[Row], pad_id: int, device: torch.device | str = "cpu") -> Batch:
    """Pad ``rows`` to one batch on ``device``."""
    length = max(len(row.ids) for row in rows)
    ids_BT = torch.full((len(rows), length), pad_id, dtype=torch.long)
    attention_BT = torch.zeros((len(rows), length), dtype=torch.long)
    labels_BT = torch.zeros((len(rows), length), dtype=torch.bool)
    for index, row in enumerate(rows):
        ids_BT[index, : len(row.ids)] = torch.tensor(row.ids)
        attention_BT[index, : len(row.ids)] = 1
        labels_BT[index, : len(row.ids)] = torch.tensor(row.labels)
    keys = tuple(row.key for row in rows)
    return Batch(keys, ids_BT.to(device), attention_BT.to(device), labels_BT.to(device))
