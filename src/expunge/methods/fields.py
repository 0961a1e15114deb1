"""Mappings from users to dataclasses: an unknown key is a sentence with a suggestion, never ignored."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from expunge.core.errors import InputError
from expunge.registry import suggestion

D = TypeVar("D")
LENGTHS = {"steps", "epochs"}
"""The two ways to say how long training lasts."""


def check_keys(value: Any, known: Iterable[str], where: str) -> Mapping[str, Any]:
    """``value`` as a mapping whose keys are all ``known``; else :class:`InputError` naming ``where`` and the key."""
    if not isinstance(value, Mapping):
        raise InputError(f"{where} must be a mapping of keys to values, not {type(value).__name__}; rewrite it.")
    names = tuple(known)
    for key in value:
        if key not in names:
            raise InputError(f"{where} has no key {key!r}; {suggestion(str(key), names)}")
    return value


def fill(cls: type[D], value: Any, where: str) -> D:
    """A dataclass from a mapping; unknown and missing keys raise :class:`InputError`."""
    fields = {item.name: item for item in dataclasses.fields(cls) if item.init}  # type: ignore[arg-type]
    mapping = check_keys(value, fields, where)
    for name, item in fields.items():
        required = item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
        if required and name not in mapping:
            raise InputError(f"{where} needs the key {name!r}; add it.")
    try:
        return cls(**mapping)
    except (TypeError, ValueError) as error:
        raise InputError(f"{where} cannot be used: {error}; correct the value.") from error


def layered(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Training settings, later layers winning; ``steps`` and ``epochs`` displace each other."""
    merged: dict[str, Any] = {}
    for layer in layers:
        if layer.keys() & LENGTHS:
            merged = {key: value for key, value in merged.items() if key not in LENGTHS}
        merged |= layer
    return merged
