"""From ``npo+sam@lora``, or a mapping with hyper-parameters, to a checked method.

Shorthand: ``objective[+smoother][@scope]``. Mapping::

    {name: npo+sam@lora, label: "NPO, flat", objective: {beta: 0.1}, smoothing: {rho: 0.01}, scope: {rank: 8},
     train: {lr: 1e-5, steps: 20}}
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from expunge import registry
from expunge.core.errors import InputError
from expunge.methods.fields import check_keys

KEYS = ("name", "label", "objective", "smoothing", "scope", "train")
SHORTHAND = re.compile(r"(?P<objective>[^+@\s]+)(\+(?P<smoothing>[^+@\s]+))?(@(?P<scope>[^+@\s]+))?")
KINDS = {"objective": "objective", "smoothing": "smoother", "scope": "scope"}
DEFAULTS = {"smoothing": "none", "scope": "all"}


@dataclass(frozen=True, slots=True)
class Part:
    """One component of a method: its registry kind, its name and its hyper-parameters."""

    kind: str
    name: str
    params: Mapping[str, Any] = field(default_factory=dict)

    def build(self) -> Any:
        """The component itself; :class:`InputError` for an unknown name or parameter."""
        return registry.build(self.kind, self.name, **self.params)


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodSpec:
    """A one-stage method: what is optimised, how its gradient is smoothed, what may move, and how long."""

    objective: Part
    smoothing: Part
    scope: Part
    train: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""

    @property
    def name(self) -> str:
        """The shorthand, without default parts."""
        smoothing = "" if self.smoothing.name == DEFAULTS["smoothing"] else f"+{self.smoothing.name}"
        scope = "" if self.scope.name == DEFAULTS["scope"] else f"@{self.scope.name}"
        return f"{self.objective.name}{smoothing}{scope}"

    def as_dict(self) -> dict[str, Any]:
        """The mapping form; :func:`parse` of it gives the same method."""
        parts = {key: dict(getattr(self, key).params) for key in KINDS}
        return {"name": self.name, "label": self.label, **parts, "train": dict(self.train)}


def parse(value: str | Mapping[str, Any]) -> MethodSpec:
    """A method from its shorthand or mapping; every component is built once so that mistakes show here.

    Raises :class:`InputError` for a malformed shorthand, an unknown key, component or hyper-parameter.
    """
    mapping = check_keys({"name": value} if isinstance(value, str) else value, KEYS, "a method")
    if "name" not in mapping:
        raise InputError("a method needs the key 'name', such as npo+sam; add it.")
    name = str(mapping["name"])
    parts = {key: _part(key, chosen, mapping.get(key) or {}) for key, chosen in _names(name).items()}
    spec = MethodSpec(**parts, train=dict(mapping.get("train") or {}), label=str(mapping.get("label") or name))
    for part in parts.values():
        part.build()
    return spec


def _names(text: str) -> dict[str, str]:
    """Component names by part from the shorthand."""
    match = SHORTHAND.fullmatch(text.strip())
    if match is None:
        raise InputError(f"method {text!r} cannot be read; write objective[+smoother][@scope], such as npo+sam@lora.")
    return {key: match[key] or DEFAULTS[key] if key in DEFAULTS else match[key] for key in KINDS}


def _part(key: str, name: str, params: Any) -> Part:
    """One component; its hyper-parameters must be a mapping."""
    if not isinstance(params, Mapping):
        raise InputError(f"{key} of a method must be a mapping of hyper-parameters; name the component in 'name'.")
    return Part(KINDS[key], name, dict(params))
