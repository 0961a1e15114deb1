"""Metrics by name or by pattern."""

from collections.abc import Iterable
from fnmatch import fnmatchcase

from expunge import registry
from expunge.core.errors import InputError


def named(names: Iterable[str]) -> tuple[str, ...]:
    """``names`` with patterns such as ``mia_*_auc`` replaced by what they match, each once.

    Raises :class:`InputError` for a name that is no metric, and for a pattern that matches none.
    """
    known = [entry.name for entry in registry.entries("metric")]
    found: list[str] = []
    for name in names:
        if not any(sign in name for sign in "*?["):
            registry.get("metric", name)
            found.append(name)
            continue
        matching = [item for item in known if fnmatchcase(item, name)]
        if not matching:
            raise InputError(f"no metric matches {name!r}; {registry.suggestion(name, known)}")
        found += matching
    return tuple(dict.fromkeys(found))
