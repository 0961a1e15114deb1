"""The methods of a recipe as they are released: one variant for every utility budget.

A budget is the mean KL(θ₀‖θ) on the retain rows, in nats a label token, that training must not exceed
(:mod:`expunge.training.stopping`). Methods at the same budget are compared at matched utility.
"""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from expunge.core.errors import InputError
from expunge.methods.grammar import MethodSpec, parse
from expunge.study.tuning.space import Space, as_plain, read_space

BAR = " | "


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed(MethodSpec):
    """A method as a recipe lists it, with ranges of its own for tuning: ``{name: npo, space: {train.lr: […]}}``."""

    space: Space = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The form that :func:`listed` reads."""
        return {**MethodSpec.as_dict(self), "space": as_plain(self.space)}


def listed(entry: Any) -> MethodSpec:
    """One entry of a recipe's ``methods``: a shorthand or mapping, to which a ``space`` may be added."""
    if not isinstance(entry, Mapping) or "space" not in entry:
        return parse(entry)
    spec = parse({key: value for key, value in entry.items() if key != "space"})
    space = read_space(entry["space"] or {}, f"the space of method {spec.label!r}")
    return Listed(**_fields(spec), space=space) if space else spec


def space_of(spec: MethodSpec) -> Space:
    """The ranges of its own, if any."""
    return spec.space if isinstance(spec, Listed) else {}


def released(spec: MethodSpec, budgets: Sequence[float]) -> tuple[MethodSpec, ...]:
    """One variant a budget, labelled ``NPO | KL 0.1``; a method with a ``max_kl`` of its own (or null) keeps that."""
    plain = MethodSpec(**_fields(spec))
    if "max_kl" in spec.train:
        return (plain,)
    return tuple(_within(plain, budget) for budget in budgets) or (plain,)


def baseline_of(label: str, named: str, labels: Collection[str]) -> str | None:
    """The label among ``labels`` that ``label`` is put beside: ``named`` at the same budget, else as it stands."""
    budget = label.partition(BAR)[2]
    return next((one for one in (f"{named}{BAR}{budget}", named) if one in labels), None)


def check_budgets(budgets: tuple[float, ...]) -> tuple[float, ...]:
    """``budgets``, unless one is no positive number or there twice."""
    for budget in budgets:
        if isinstance(budget, bool) or not isinstance(budget, int | float) or not budget > 0:
            raise InputError(f"budgets has {budget!r}; give numbers above 0, such as [0.01, 0.1].")
        if budgets.count(budget) > 1:
            raise InputError(f"budgets has {budget:g} twice; remove one.")
    return budgets


def _within(spec: MethodSpec, budget: float) -> MethodSpec:
    return dataclasses.replace(spec, label=f"{spec.label}{BAR}KL {budget:g}", train={**spec.train, "max_kl": budget})


def _fields(spec: MethodSpec) -> dict[str, Any]:
    """What every method spec has."""
    return {item.name: getattr(spec, item.name) for item in dataclasses.fields(MethodSpec)}
