"""``key.sub=value`` on a recipe: values are YAML, list items are named by their index."""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from expunge.core.errors import InputError
from expunge.registry import suggestion
from expunge.study.yaml import parse

SHORT = {"knowledge": "name", "model": "source", "executor": "name"}
"""Keys whose plain text is short for a mapping; an item of a list is short for ``{name: …}``."""


def apply(recipe: Mapping[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """A copy of ``recipe`` with each override set, left to right.

    A mapping that is missing on the way is made (whether its key is known is the recipe's business); a list index
    must exist. Raises :class:`InputError` for text without ``=`` and for a path through a value.
    """
    result = copy.deepcopy(dict(recipe))
    for override in overrides:
        path, sign, text = override.partition("=")
        if not sign or not path.strip():
            raise InputError(f"override {override!r} cannot be read; write key.sub=value.")
        _set(result, path.strip().split("."), parse(text, f"override {override!r}"), override)
    return result


def _set(node: Any, keys: list[str], value: Any, override: str) -> None:
    """Set ``value`` below ``node``."""
    key, *rest = keys
    place = _index(node, key, override) if isinstance(node, list) else key
    if not rest:
        node[place] = value
        return
    if isinstance(node, dict) and node.get(key) is None:
        node[key] = {}
    if isinstance(node[place], str) and (isinstance(node, list) or key in SHORT):
        node[place] = {SHORT.get(key, "name"): node[place]}
    if not isinstance(node[place], dict | list):
        raise InputError(f"override {override!r} goes through {key!r}, which is a plain value; shorten the path.")
    _set(node[place], rest, value, override)


def _index(node: list[Any], key: str, override: str) -> int:
    """A list index; :class:`InputError` says how many items there are."""
    if not key.isdigit() or int(key) >= len(node):
        known = map(str, range(len(node)))
        raise InputError(f"override {override!r}: {key!r} is not an item of the list; {suggestion(key, known)}")
    return int(key)
