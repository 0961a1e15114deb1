"""What expunge offers, read from the registry: the same rows serve ``ls``, ``show`` and the reference pages."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from expunge import registry
from expunge.core.errors import InputError


@dataclass(frozen=True, slots=True)
class Component:
    """One registered component, in words."""

    kind: str
    name: str
    summary: str
    text: str
    paper: str = ""
    intent: str = ""
    defaults: Mapping[str, Any] = field(default_factory=dict)


def catalogue(kind: str | None = None) -> list[Component]:
    """All components, or those of one kind (``attack`` or ``attacks``); ``methods`` also means objectives.

    Raises :class:`InputError` for an unknown kind.
    """
    kinds = tuple(registry.HOMES) if kind is None else (_kind(kind),)
    if kinds == ("method",):
        kinds = ("objective", "smoother", "scope", "method")
    return [_component(entry) for one in kinds for entry in registry.entries(one)]


def described(name: str) -> list[str]:
    """A paragraph for each component called ``name``; :class:`InputError` suggests the nearest name."""
    everything = catalogue()
    found = [item for item in everything if item.name == name]
    if not found:
        raise InputError(f"unknown component {name!r}; {registry.suggestion(name, {item.name for item in everything})}")
    return [_describe(item) for item in found]


def shown(value: Any) -> str:
    """A default as a person writes it in a recipe."""
    if value is inspect.Parameter.empty:
        return "required"
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(shown, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value) if value != "" else "''"


def _kind(text: str) -> str:
    singular = text.removesuffix("s")
    if singular not in registry.HOMES:
        raise InputError(f"unknown kind {text!r}; {registry.suggestion(text, [f'{kind}s' for kind in registry.HOMES])}")
    return singular


def _component(entry: registry.Entry) -> Component:
    factory = entry.factory
    return Component(
        kind=entry.kind,
        name=entry.name,
        summary=entry.summary,
        text=inspect.getdoc(factory) or "",
        paper=getattr(factory, "paper", ""),
        intent=getattr(factory, "intent", ""),
        defaults=entry.defaults,
    )


def _describe(item: Component) -> str:
    lines = [f"{item.kind} {item.name}", "", item.text]
    if item.paper:
        lines += ["", f"paper: {item.paper}"]
    if item.intent:
        lines += ["", f"intent: {item.intent}"]
    if item.defaults:
        lines += ["", "hyper-parameters:", *(f"  {name} = {shown(value)}" for name, value in item.defaults.items())]
    return "\n".join(lines)
