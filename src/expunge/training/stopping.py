"""Early stopping, on a forget level and on a utility budget."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from expunge.core.errors import InputError
from expunge.distributed.sharding import ranks_of
from expunge.distributed.shards import locals_of
from expunge.models.rows import Row
from expunge.objectives.base import Needs, ReferenceReader
from expunge.training.config import TrainConfig
from expunge.training.precision import Precision
from expunge.training.references import measured

if TYPE_CHECKING:
    from expunge.models.view import View


def mean_nll(view: "View", rows: Sequence[Row], precision: Precision = "fp32") -> float:
    """Mean NLL over all label tokens of ``rows``, in nats."""
    own = sum(float(outputs.nll_sum_B().sum()) for _, outputs in measured(view, rows, precision))
    (total,) = ranks_of(view.model).sums([own])
    return total / sum(row.num_labels for row in rows)


def mean_kl(
    view: "View", rows: Sequence[Row], refs: ReferenceReader, stream: str, precision: Precision = "fp32"
) -> float:
    """Mean KL(θ₀‖θ) over all label tokens of ``rows``, in nats; their ``final_hidden`` references exist."""
    own = 0.0
    for batch, outputs in measured(view, rows, precision):
        old_NV = refs.logits_NV(stream, batch).log_softmax(-1)
        own += float((old_NV.exp() * (old_NV - outputs.logits_NV.log_softmax(-1))).sum())
    (total,) = ranks_of(view.model).sums([own])
    return total / sum(row.num_labels for row in rows)


def with_budget(needs: Needs, config: TrainConfig) -> Needs:
    """``needs`` plus what measuring ``max_kl`` reads."""
    if config.max_kl is None:
        return needs
    retain = tuple(dict.fromkeys((*needs.references.get("retain", ()), "final_hidden")))
    return Needs(needs.streams, {**needs.references, "retain": retain})


@dataclass(frozen=True)
class Budget:
    """θ₀'s side of a utility budget: the retain rows it is measured on, and their ``final_hidden`` under θ₀.

    A stage may train on other retain rows; the budget is measured on its own ones all the same.
    """

    rows: Sequence[Row]
    references: ReferenceReader


@dataclass(frozen=True)
class Spent:
    """How much of a utility budget a finished model spends: its mean KL(θ₀‖θ), and the limit, in nats a label token."""

    kl: float
    limit: float


@dataclass
class Stopper:
    """Measures what the configuration asks for and says when to stop.

    ``anchor`` is the rows whose passes are epochs, ``retain`` the rows of the utility budget. Keeps a copy of the
    weights of the last measurement within the budget, in memory, while a budget is set, and of what the smoother
    ``carried`` then: an average must not hold the step that left the budget.
    """

    config: TrainConfig
    weights: Mapping[str, Tensor]
    anchor: Sequence[Row]
    retain: Sequence[Row]
    refs: ReferenceReader
    precision: Precision
    carried: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a budget with nothing to measure it on."""
        if self.config.max_kl is not None and not self.retain:
            raise InputError("training key 'max_kl' needs a stream 'retain' to measure on; add one or remove the key.")
        self.good: list[Tensor] = []
        self.keep()

    def reason(self, view: "View", step: int) -> tuple[str | None, dict[str, float]]:
        """Why to stop after ``step`` steps (a key of the configuration, or ``None``), and what was measured."""
        if step % self.config.eval_every:
            return None, {}
        measures: dict[str, float] = {}
        if self.config.max_kl is not None:
            measures["budget_kl"] = mean_kl(view, self.retain, self.refs, "retain", self.precision)
            # Written so that a NaN counts as over the budget.
            if not measures["budget_kl"] <= self.config.max_kl:
                self._go_back()
                return "max_kl", measures
            self.keep()
        if self.config.stop_forget_nll is not None:
            measures["forget_nll"] = mean_nll(view, self.anchor, self.precision)
            if measures["forget_nll"] >= self.config.stop_forget_nll:
                return "forget_nll", measures
        if self.config.stop_learned_nll is not None:
            measures["learned_nll"] = mean_nll(view, self.anchor, self.precision)
            if measures["learned_nll"] <= self.config.stop_learned_nll:
                return "learned_nll", measures
        return None, measures

    def _live(self) -> list[Tensor]:
        return locals_of(weight.detach() for weight in self.weights.values())

    def _go_back(self) -> None:
        torch._foreach_copy_(self._live(), self.good)
        self.carried.clear()
        self.carried.update(self.carried_then)

    def keep(self) -> None:
        """Remember the present weights as within the budget; a resumed run does so at its checkpoint."""
        if self.config.max_kl is None:
            return
        self.carried_then = {name: value.clone() for name, value in self.carried.items()}
        if self.good:
            torch._foreach_copy_(self.good, self._live())
        else:
            self.good = [weight.clone() for weight in self._live()]
