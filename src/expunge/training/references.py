"""What θ₀ said, computed once before training and kept by row key.

Shapes: B rows, N label tokens of a batch, D hidden width, V vocabulary. Kinds:

``nll_sum``       a scalar a row.
``final_hidden``  θ₀'s last hidden state at label positions (2 kB a token for D = 512), plus one frozen copy of the
                  unembedding, from which exact logits follow.
``hidden.{l}``    the output of block l at every position; a pass that is asked for nothing else ends there.
``targets``       label ids in place of the rows' own; a method stores them with :meth:`References.store_targets`.

A method may fill streams from another model (its teacher): what is there already is not computed again.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from expunge.core.errors import InputError
from expunge.distributed.rows import turns
from expunge.distributed.sharding import check_precision, ranks_of
from expunge.distributed.shards import frozen_copy, full
from expunge.models.rows import Batch, Row
from expunge.objectives.base import Needs
from expunge.training.batches import by_length
from expunge.training.precision import Precision, computing

if TYPE_CHECKING:
    from expunge.models.view import Outputs, View

KINDS = ("nll_sum", "final_hidden", "hidden", "targets")
Store = dict[tuple[str, str], dict[str, Tensor]]


@dataclass
class References:
    """Cached references of some streams; satisfies :class:`expunge.objectives.base.ReferenceReader`.

    ``values[stream, kind][row key]`` holds the tensors, ``heads[stream]`` the frozen unembedding of the model that
    filled the stream.
    """

    view: "View"
    values: Store = field(default_factory=dict)
    heads: dict[str, torch.nn.Module] = field(default_factory=dict)

    @classmethod
    def compute(
        cls, view: "View", streams: Mapping[str, Sequence[Row]], needs: Needs, precision: Precision = "fp32"
    ) -> "References":
        """Run ``view``'s present model over the streams whose references are needed; one pass a stream.

        Raises :class:`InputError` on an unknown kind or on a key that stands for two different rows of a stream.
        """
        return cls(view).complete(view, streams, needs, precision)

    def complete(
        self, view: "View", streams: Mapping[str, Sequence[Row]], needs: Needs, precision: Precision = "fp32"
    ) -> "References":
        """Itself, after ``view``'s present model filled in what is needed and missing. Raises as :meth:`compute`."""
        for stream, kinds in needs.references.items():
            _check(kinds)
            missing = [kind for kind in kinds if (stream, kind) not in self.values]
            if "targets" in missing:
                raise InputError(f"stream {stream!r} has no stored targets; a method has to make them first.")
            if missing:
                self._fill(view, stream, streams[stream], missing, precision)
        return self

    def store_targets(self, stream: str, targets: Mapping[str, Tensor]) -> None:
        """Keep label ids by row key, one an entry of the row's labels, in order."""
        self.values[stream, "targets"] = dict(targets)

    def nll_sum_B(self, stream: str, batch: Batch) -> Tensor:
        """Summed label NLL of each row under θ₀, in nats, float32."""
        return torch.stack(self._of(stream, "nll_sum", batch)).to(batch.ids_BT.device)

    def logits_NV(self, stream: str, batch: Batch) -> Tensor:
        """θ₀'s logits at the batch's label positions, float32."""
        hidden_ND = torch.cat(self._of(stream, "final_hidden", batch))
        with torch.no_grad():
            return self.view.head_logits(hidden_ND.to(batch.ids_BT.device), head=self.heads[stream])

    def hidden_BTD(self, stream: str, batch: Batch, layer: int) -> Tensor:
        """θ₀'s output of block ``layer`` at every position, float32; zeros at padding."""
        parts = self._of(stream, f"hidden.{layer}", batch)
        return pad_sequence(parts, batch_first=True).to(batch.ids_BT.device)

    def targets_N(self, stream: str, batch: Batch) -> Tensor:
        """The stored label ids of the batch's label positions."""
        return torch.cat(self._of(stream, "targets", batch)).to(batch.ids_BT.device)

    def _of(self, stream: str, kind: str, batch: Batch) -> list[Tensor]:
        store = self.values[stream, kind]
        return [store[key] for key in batch.keys]

    def _fill(self, view: "View", stream: str, rows: Sequence[Row], kinds: Sequence[str], precision: Precision) -> None:
        unique = _unique(stream, rows)
        if "final_hidden" in kinds:
            self.heads[stream] = self._head(view)
        found: Store = {(stream, kind): {} for kind in kinds}
        layers = [int(kind.partition(".")[2]) for kind in kinds if kind.startswith("hidden.")]
        to_the_end = len(layers) < len(kinds)
        asked: dict[str, Any] = {
            "final_hidden": "final_hidden" in kinds,
            "hidden": layers,
            "logits": "nll_sum" in kinds,
        }
        for batch, outputs in measured(
            view, unique, precision, **asked, stop_after=None if to_the_end else max(layers)
        ):
            for kind in kinds:
                parts = _CUTS[kind.partition(".")[0]](batch, outputs, kind)
                found[stream, kind].update(zip(batch.keys, parts, strict=True))
        self.values.update({key: _of_all(view, parts) for key, parts in found.items()})

    def _head(self, view: "View") -> torch.nn.Module:
        """A frozen copy of the unembedding; one serves all the streams that the same weights fill."""
        weight = full(view.anatomy.head.weight)  # type: ignore[arg-type]
        for head in self.heads.values():
            if torch.equal(head.weight, weight):  # type: ignore[arg-type]
                return head
        return frozen_copy(view.anatomy.head)


def _of_all(view: "View", parts: dict[str, Tensor]) -> dict[str, Tensor]:
    """What all ranks measured, by row key; it travels and stays on the CPU."""
    ranks = ranks_of(view.model)
    return parts if ranks.size == 1 else ranks.merged({key: part.cpu() for key, part in parts.items()})


def _nll_sums(batch: Batch, outputs: "Outputs", kind: str) -> list[Tensor]:
    return list(outputs.nll_sum_B().unbind())


def _final_hidden(batch: Batch, outputs: "Outputs", kind: str) -> list[Tensor]:
    return [part.clone() for part in torch.split(outputs.final_hidden_ND, batch.labels_BT.sum(1).tolist())]


def _hidden(batch: Batch, outputs: "Outputs", kind: str) -> list[Tensor]:
    hidden_BTD = outputs.hidden[int(kind.partition(".")[2])].float()
    lengths = batch.attention_BT.sum(1).tolist()
    return [hidden_TD[:length].clone() for hidden_TD, length in zip(hidden_BTD, lengths, strict=True)]


_CUTS = {"nll_sum": _nll_sums, "final_hidden": _final_hidden, "hidden": _hidden}


def _check(kinds: Sequence[str]) -> None:
    for kind in kinds:
        name, _, layer = kind.partition(".")
        if name not in KINDS or layer.isdecimal() != (name == "hidden"):
            raise InputError(f"reference kind {kind!r} does not exist; known: {', '.join(KINDS)} (hidden.<layer>).")


def measured(
    view: "View", rows: Sequence[Row], precision: Precision, *, everywhere: bool = False, **asked: Any
) -> Iterator[tuple[Batch, "Outputs"]]:
    """Forward passes over ``rows`` without gradient, in evaluation mode; the mode is put back afterwards.

    Several ranks share the passes, and each is given its own; with ``everywhere`` each is given all. ``asked`` is
    what :meth:`expunge.models.view.View.forward` is asked for; by default the logits.
    """
    was_training, chunks = view.model.training, by_length(rows)
    check_precision(view.model, precision)
    dealt = [(chunk, True) for chunk in chunks] if everywhere else turns(chunks, ranks_of(view.model))
    view.model.eval()
    try:
        with torch.no_grad(), computing(precision, view.device):
            for chunk, own in dealt:
                batch = view.collate(chunk)
                outputs = view.forward(batch, **asked)
                if own:
                    yield batch, outputs
    finally:
        view.model.train(was_training)


def _unique(stream: str, rows: Sequence[Row]) -> list[Row]:
    """Each row once; a key that names two different rows would mix up their references."""
    found: dict[str, Row] = {}
    for row in rows:
        if found.setdefault(row.key, row) != row:
            raise InputError(f"stream {stream!r} has two different rows with key {row.key!r}; give each its own id.")
    return list(found.values())
