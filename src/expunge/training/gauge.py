"""What a scope may measure on θ₀ before it chooses which weights move."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from expunge.core.errors import InputError
from expunge.models.rows import Row
from expunge.training.batches import by_length
from expunge.training.passes import take_grads
from expunge.training.precision import Precision, computing
from expunge.training.references import measured

if TYPE_CHECKING:
    from collections.abc import Iterator

    from expunge.models.view import Outputs, View


@dataclass(frozen=True)
class StreamGauge:
    """Satisfies :class:`expunge.scopes.base.Gauge` on the rows of a run; in evaluation mode, whatever the model's."""

    view: "View"
    streams: Mapping[str, Sequence[Row]]
    precision: Precision

    def gradient(self, stream: str) -> dict[str, Tensor]:
        """See :meth:`expunge.scopes.base.Gauge.gradient`."""
        rows = self._rows(stream)
        tokens = sum(row.num_labels for row in rows)
        with self._ready() as weights:
            for chunk in by_length(rows):
                self._backward(chunk, lambda outputs: outputs.nll_sum_B().sum() / tokens)
            return take_grads(weights)

    def fisher(self, stream: str) -> dict[str, Tensor]:
        """See :meth:`expunge.scopes.base.Gauge.fisher`."""
        rows = self._rows(stream)
        with self._ready() as weights:
            total = {name: torch.zeros_like(weight) for name, weight in weights.items()}
            for row in rows:
                self._backward([row], lambda outputs: outputs.nll_mean_B().sum())
                for name, grad in take_grads(weights).items():
                    total[name].addcmul_(grad, grad, value=1 / len(rows))
            return total

    def routing_E(self, stream: str, layer: int) -> Tensor:
        """See :meth:`expunge.scopes.base.Gauge.routing_E`."""
        total, count = None, 0
        rows, asked = self._rows(stream), {"everywhere": True, "logits": False, "router": True}
        for batch, outputs in measured(self.view, rows, self.precision, **asked):
            if layer not in outputs.router:
                raise InputError(f"layer {layer} has no router; choose a mixture-of-experts layer.")
            chosen_ME = outputs.router[layer][batch.attention_BT.bool()]
            total = chosen_ME.sum(0) if total is None else total + chosen_ME.sum(0)
            count += len(chosen_ME)
        assert total is not None
        return total / count

    def routing(self, stream: str) -> dict[int, Tensor]:
        """See :meth:`expunge.scopes.base.Gauge.routing`."""
        rows, totals = self._rows(stream), dict[int, Tensor]()
        asked = {"everywhere": True, "logits": False, "router": True}
        for batch, outputs in measured(self.view, rows, self.precision, **asked):
            real_BT1 = batch.attention_BT[..., None]
            for layer, chosen_BTE in outputs.router.items():
                total_E = ((chosen_BTE * real_BT1).sum(1) / real_BT1.sum(1)).sum(0)
                totals[layer] = total_E + totals[layer] if layer in totals else total_E
        return {layer: totals[layer] / len(rows) for layer in sorted(totals)}

    def _rows(self, stream: str) -> Sequence[Row]:
        if not self.streams.get(stream):
            raise InputError(f"the scope measures on the stream {stream!r}, which has no rows; give some.")
        return self.streams[stream]

    @contextmanager
    def _ready(self) -> "Iterator[dict[str, torch.nn.Parameter]]":
        """All weights with gradients on and empty; flags and mode are put back."""
        weights, model = self.view.named_weights(), self.view.model
        flags, was_training = {name: weight.requires_grad for name, weight in weights.items()}, model.training
        model.eval()
        for weight in weights.values():
            weight.requires_grad_(True)
        try:
            yield weights
        finally:
            for name, weight in weights.items():
                weight.requires_grad_(flags[name])
                weight.grad = None
            model.train(was_training)

    def _backward(self, rows: Sequence[Row], loss: "Callable[[Outputs], Tensor]") -> None:
        with computing(self.precision, self.view.device):
            value = loss(self.view.forward(self.view.collate(rows)))
        value.backward()  # type: ignore[no-untyped-call]
