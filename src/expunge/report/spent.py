"""Which methods kept the utility budget they were given. At matched utility stand only those that did."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from expunge.report.shapes import Interval, World


@dataclass(frozen=True, slots=True)
class Spent:
    """Mean KL(θ₀‖θ) of the released models, with the least and the largest of the replicates; nats a label token."""

    kl: Interval
    over: bool


def spent(world: World) -> Mapping[str, Spent]:
    """Label → what was spent, for the methods that had a budget."""
    return {model.label: _of(found) for model in world.models if (found := list(_budgets(model.unlearn)))}


def over(world: World) -> list[str]:
    """The labels of the methods that ended over their budget in some replicate."""
    return [label for label, found in spent(world).items() if found.over]


def beyond(world: World) -> str | None:
    """What to say of methods that ended over their budget, or ``None``."""
    found = over(world)
    if not found:
        return None
    return (
        f"Released over their utility budget: {', '.join(found)}. They are not at the same utility as the methods that "
        "kept it; what each spent stands in the details of the verdict."
    )


def _budgets(unlearned: Sequence[Any]) -> Iterator[Mapping[str, float | None]]:
    for cell in unlearned:
        budget = (cell.record.get("train") or {}).get("budget")
        if budget:
            yield budget


def _of(budgets: Sequence[Mapping[str, Any]]) -> Spent:
    kls = [math.inf if budget["kl"] is None else float(budget["kl"]) for budget in budgets]
    ends = any(kl > budget["limit"] for kl, budget in zip(kls, budgets, strict=True))
    return Spent(Interval(math.fsum(kls) / len(kls), min(kls), max(kls)), ends)
