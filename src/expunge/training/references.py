"""What θ₀ said, computed once before training and kept by row key.

Shapes: B rows, N label tokens of a batch, D hidden width, V vocabulary. Kinds:

``nll_sum``       a scalar a row.
``final_hidden``  θ₀'s last hidden state at label positions (2 kB a token for D = 512), plus one frozen copy of the
                  unembedding, from which exact logits follow.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from expunge.core.errors import InputError
from expunge.models.rows import Batch, Row
from expunge.objectives.base import Needs
from expunge.training.batches import by_length
from expunge.training.precision import Precision, computing

if TYPE_CHECKING:
    from expunge.models.view import Outputs, View

KINDS = ("nll_sum", "final_hidden")


@dataclass
class References:
    """Cached references of some streams; satisfies :class:`expunge.objectives.base.ReferenceReader`."""

    view: "View"
    nll_sums: dict[str, dict[str, float]] = field(default_factory=dict)
    hidden: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    head: torch.nn.Module | None = None

    @classmethod
    def compute(
        cls, view: "View", streams: Mapping[str, Sequence[Row]], needs: Needs, precision: Precision = "fp32"
    ) -> "References":
        """Run ``view``'s present model over the streams whose references are needed; one pass a stream.

        Raises :class:`InputError` on an unknown kind or on a key that stands for two different rows of a stream.
        """
        references = cls(view)
        for stream, kinds in needs.references.items():
            if unknown := set(kinds) - set(KINDS):
                raise InputError(f"reference kind {min(unknown)!r} does not exist; known: {', '.join(KINDS)}.")
            if kinds:
                references._fill(stream, streams[stream], kinds, precision)
        return references

    def holds(self, needs: Needs) -> bool:
        """Whether every needed kind of every stream is there."""
        stores: dict[str, Mapping[str, object]] = {"nll_sum": self.nll_sums, "final_hidden": self.hidden}
        return all(stream in stores[kind] for stream, kinds in needs.references.items() for kind in kinds)

    def nll_sum_B(self, stream: str, batch: Batch) -> Tensor:
        """Summed label NLL of each row under θ₀, in nats, float32."""
        return torch.tensor([self.nll_sums[stream][key] for key in batch.keys], device=batch.ids_BT.device)

    def logits_NV(self, stream: str, batch: Batch) -> Tensor:
        """θ₀'s logits at the batch's label positions, float32."""
        hidden_ND = torch.cat([self.hidden[stream][key] for key in batch.keys])
        with torch.no_grad():
            return self.view.head_logits(hidden_ND.to(batch.ids_BT.device), head=self.head)

    def _fill(self, stream: str, rows: Sequence[Row], kinds: Sequence[str], precision: Precision) -> None:
        unique = _unique(stream, rows)
        if "final_hidden" in kinds:
            self.hidden[stream] = {}
            self.head = self.head or copy.deepcopy(self.view.anatomy.head).requires_grad_(False)
        if "nll_sum" in kinds:
            self.nll_sums[stream] = {}
        for batch, outputs in measured(self.view, unique, precision, final_hidden="final_hidden" in kinds):
            if "nll_sum" in kinds:
                self.nll_sums[stream].update(zip(batch.keys, outputs.nll_sum_B().tolist(), strict=True))
            if "final_hidden" in kinds:
                parts = torch.split(outputs.final_hidden_ND, batch.labels_BT.sum(1).tolist())
                self.hidden[stream].update((key, part.clone()) for key, part in zip(batch.keys, parts, strict=True))


def measured(
    view: "View", rows: Sequence[Row], precision: Precision, *, final_hidden: bool = False
) -> Iterator[tuple[Batch, "Outputs"]]:
    """Forward passes over ``rows`` without gradient, in evaluation mode; the mode is put back afterwards."""
    was_training = view.model.training
    view.model.eval()
    try:
        with torch.no_grad(), computing(precision, view.device):
            for chunk in by_length(rows):
                batch = view.collate(chunk)
                yield batch, view.forward(batch, final_hidden=final_hidden)
    finally:
        view.model.train(was_training)


def _unique(stream: str, rows: Sequence[Row]) -> list[Row]:
    """Each row once; a key that names two different rows would mix up their references."""
    found: dict[str, Row] = {}
    for row in rows:
        if found.setdefault(row.key, row) != row:
            raise InputError(f"stream {stream!r} has two different rows with key {row.key!r}; give each its own id.")
    return list(found.values())
