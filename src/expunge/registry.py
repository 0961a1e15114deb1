"""Names to components. A component is found by enumeration: one file in its package, or a user's plugin.

Registering needs no edit anywhere else::

    @objective("npo")
    @dataclass(frozen=True, kw_only=True)
    class NPO(Objective): ...
"""

import dataclasses
import difflib
import importlib
import importlib.util
import inspect
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, TypeVar

from expunge.core.errors import InputError

C = TypeVar("C", bound=Callable[..., Any])

HOMES: Mapping[str, str] = {
    "objective": "expunge.objectives",
    "smoother": "expunge.smoothing",
    "scope": "expunge.scopes",
    "edit": "expunge.edits",
    "judge": "expunge.scoring.judges",
    "guard": "expunge.guards",
    "builder": "expunge.builders",
    "method": "expunge.methods",
    "attack": "expunge.attacks",
    "certificate": "expunge.certificates",
    "metric": "expunge.metrics",
    "benchmark": "expunge.benchmarks",
    "executor": "expunge.study.executors",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A registered component: its kind, name and the callable that builds it from hyper-parameters."""

    kind: str
    name: str
    factory: Callable[..., Any]

    @property
    def summary(self) -> str:
        """First line of the component's docstring."""
        return (inspect.getdoc(self.factory) or "").split("\n", 1)[0]

    @property
    def defaults(self) -> dict[str, Any]:
        """Hyper-parameters with their defaults; required ones map to ``inspect.Parameter.empty``."""
        return {parameter.name: _default(self.factory, parameter) for parameter in _parameters(self.factory)}


_entries: dict[tuple[str, str], Entry] = {}
_plugins: dict[Path, None] = {}


@cache
def _parameters(factory: Callable[..., Any]) -> tuple[inspect.Parameter, ...]:
    """A factory's parameters; a study of thousands of cells asks for the same few again and again."""
    return tuple(inspect.signature(factory).parameters.values())


def _default(factory: Callable[..., Any], parameter: inspect.Parameter) -> Any:
    """A parameter's default; dataclass default factories are called so that the real value shows."""
    if dataclasses.is_dataclass(factory):
        for item in dataclasses.fields(factory):
            if item.name == parameter.name and item.default_factory is not dataclasses.MISSING:
                return item.default_factory()
    return parameter.default


def _decorator(kind: str) -> Callable[[str], Callable[[C], C]]:
    def named(name: str) -> Callable[[C], C]:
        def register(factory: C) -> C:
            previous = _entries.get((kind, name))
            if previous is not None and previous.factory.__qualname__ != factory.__qualname__:
                raise InputError(f"{kind} {name!r} is registered twice; rename one of them.")
            _entries[kind, name] = Entry(kind, name, factory)
            return factory

        return register

    return named


objective = _decorator("objective")
smoother = _decorator("smoother")
scope = _decorator("scope")
edit = _decorator("edit")
judge = _decorator("judge")
guard = _decorator("guard")
builder = _decorator("builder")
method = _decorator("method")
attack = _decorator("attack")
certificate = _decorator("certificate")
metric = _decorator("metric")
benchmark = _decorator("benchmark")
executor = _decorator("executor")


@cache
def _discover(kind: str) -> None:
    """Import every module of the kind's package and of its folders, then the entry points ``expunge.<kind>s``."""
    package = importlib.import_module(HOMES[kind])
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
    for point in entry_points(group=f"expunge.{kind}s"):
        point.load()


def load_plugin(path: Path) -> None:
    """Import a user's file so that its decorators run. Raises :class:`InputError` when it is absent."""
    if not path.is_file():
        raise InputError(f"plugin {path} does not exist; check the path.")
    spec = importlib.util.spec_from_file_location(f"expunge_plugin_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    _plugins[path.resolve()] = None


def plugins() -> tuple[Path, ...]:
    """The files that were loaded, in order: what another process has to load too."""
    return tuple(_plugins)


def entries(kind: str) -> list[Entry]:
    """All components of a kind, by name."""
    _discover(kind)
    return sorted((entry for entry in _entries.values() if entry.kind == kind), key=lambda entry: entry.name)


def get(kind: str, name: str) -> Entry:
    """The component; :class:`InputError` suggests the nearest name when there is none."""
    _discover(kind)
    if (kind, name) not in _entries:
        known = [entry.name for entry in entries(kind)]
        raise InputError(f"unknown {kind} {name!r}; {suggestion(name, known)}")
    return _entries[kind, name]


def build(kind: str, name: str, /, **parameters: Any) -> Any:
    """Build a component; unknown or missing hyper-parameters are one clear sentence."""
    entry = get(kind, name)
    known = entry.defaults
    for key in parameters:
        if key not in known:
            raise InputError(f"{kind} {name!r} has no parameter {key!r}; {suggestion(key, known)}")
    missing = [key for key, value in known.items() if value is inspect.Parameter.empty and key not in parameters]
    if missing:
        raise InputError(f"{kind} {name!r} needs the parameter {missing[0]!r}; add it.")
    return entry.factory(**parameters)


def suggestion(word: str, known: Iterable[str]) -> str:
    """ "did you mean …" when something is near, else the list of what is known."""
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names) or 'none'}."
