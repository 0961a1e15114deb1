"""Every metric of the evaluate cells, model beside model."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from expunge.report.shapes import Interval, Model, World
from expunge.report.text import NOTHING, number


@dataclass(frozen=True, slots=True)
class Grid:
    """A table of text: ``rows`` start with their name; ``notes`` give the reasons for its dashes."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def metrics(world: World) -> Grid:
    """Metric × model; over several replicates the mean, with the lowest lower and the highest upper end."""
    models = [model for model in world.models if model.evaluate]
    names = dict.fromkeys(name for model in models for name in _of(model))
    rows = [(_title(name), *(_cell(_readings(model, name)) for model in models)) for name in names]
    rows += [(_title(name), *(_cell([_over(world, model, name)]) for model in models)) for name in _names(world)]
    return Grid(("Metric", *(model.label for model in models)), tuple(rows), tuple(_notes(world, models)))


def _names(world: World) -> Sequence[str]:
    """Metrics that were read over replicates."""
    return list(dict.fromkeys(name for found in world.over_replicates.values() for name in found))


def _over(world: World, model: Model, name: str) -> Mapping[str, Any]:
    return world.over_replicates.get(model.label, {}).get(name, {})


def _title(name: str) -> str:
    return name.replace("_", " ").replace(".", ": ")


def _of(model: Model) -> Mapping[str, Any]:
    return model.evaluate[0].record.get("metrics") or {}


def _readings(model: Model, name: str) -> list[Mapping[str, Any]]:
    return [cell.record.get("metrics", {}).get(name, {}) for cell in model.evaluate]


def _cell(readings: Sequence[Any]) -> str:
    found = [reading for reading in readings if reading.get("value") is not None]
    if not found:
        return NOTHING
    value = math.fsum(reading["value"] for reading in found) / len(found)
    ends = [(reading.get("low"), reading.get("high")) for reading in found]
    if any(low is None or high is None for low, high in ends):
        return number(value, "ratio")
    return number(Interval(value, min(low for low, _ in ends), max(high for _, high in ends)), "ratio")


def _notes(world: World, models: Sequence[Model]) -> Iterator[str]:
    """Why a metric was not computed; models with the same reason share one note."""
    found: dict[tuple[str, str], list[str]] = {}
    for model in models:
        over = {name: _over(world, model, name) for name in _names(world)}
        for name, reading in (*_of(model).items(), *over.items()):
            if reading.get("reason"):
                found.setdefault((name, str(reading["reason"])), []).append(model.label)
    for (name, reason), labels in found.items():
        who = "every model" if len(labels) == len(models) else ", ".join(labels)
        yield f"{_title(name)}, {who}: {reason}"
