"""Requests one after another: the models of a world after each of them, and what is measured then.

    θ₀ ─► unlearn request 1 ─► unlearn request 2 ─► …        (one chain a method)
               │                    │
               └► evaluate, attack  └► evaluate, attack      (requests 1 to i together, with T and V of each)

θ₀, the control and the null are the same models at every request; T and V grow, so each is attacked again. Utility is
held against θ₀ throughout. What an objective takes as its frozen reference is the model that it starts from: the one
that the request before left. That is what an operator has who answers one request at a time.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from expunge.core.errors import InputError
from expunge.study.cells import Cell
from expunge.study.plan_cells import Draw
from expunge.study.plan_entries import Entry, Replicate
from expunge.study.plan_room import check_requests
from expunge.study.recipe import Recipe
from expunge.study.sections import World


@dataclass(frozen=True, slots=True)
class Stage:
    """A world after ``done`` of ``of`` requests; ``methods`` maps the labels of this stage to the methods' own."""

    world: str
    done: int
    of: int
    methods: Mapping[str, str]

    def as_dict(self) -> dict[str, Any]:
        """The entry ``sequence`` of the audit's configuration and of audit.json."""
        return {"world": self.world, "done": self.done, "of": self.of, "methods": dict(self.methods)}


def after(label: str, number: int, of: int) -> str:
    """What a model or a world is called after request ``number``."""
    return f"{label} after {number} of {of}"


def stages(recipe: Recipe, world: World) -> Iterator[tuple[World, tuple[Replicate, ...], Stage]]:
    """The world after every request, with its replicates."""
    columns = [tuple(_sequence(Draw(recipe, world, seed))) for seed in recipe.seeds]
    for index, replicates in enumerate(zip(*columns, strict=True)):
        number, of = index + 1, recipe.requests
        own = {after(spec.label, number, of): spec.label for spec in recipe.methods_of(world)}
        named = dataclasses.replace(world, label=after(world.label, number, of))
        yield named, replicates, Stage(world.label, number, of, own)


def _sequence(draw: Draw) -> Iterator[Replicate]:
    """One world and seed, request after request; every method goes on from what it left."""
    check(draw)
    trunk = draw.trunk(0, "control") if draw.world.taught else None
    original = None if trunk is None else draw.original(trunk)
    first = draw.evaluate("original", original, None, None)
    shared = _Shared(draw, trunk, original, first)
    left: dict[str, Cell | None] = {}
    for number in range(1, draw.recipe.requests + 1):
        here = draw.between(1, number)
        entries = (*shared.entries(here, number), *shared.methods(here, number, left))
        yield Replicate(draw.seed, here.knowledge, here.facts, entries)


def check(draw: Draw) -> None:
    """Refuse a world whose facts cannot be asked for in this many requests; the cut itself is the cell's affair."""
    num, world = draw.recipe.requests, draw.world.label
    if draw.facts.split is not None:
        raise InputError(
            f"knowledge {world!r} has an official cut into T and V, which requests would cut anew; remove 'requests', "
            "or take another world."
        )
    if draw.facts.requests and len(draw.facts.requests) != num:
        raise InputError(
            f"knowledge {world!r} has {len(draw.facts.requests)} requests of its own, the recipe has {num}; set "
            "'requests' to the first number."
        )
    filtered = draw.whole.config["known"] is not None or draw.world.worst_case is not None
    check_requests(draw.world, draw.facts, num, filtered=filtered)


@dataclass(frozen=True, slots=True)
class _Shared:
    """The models that every request shares."""

    draw: Draw
    trunk: Cell | None
    original: Cell | None
    first: Cell

    def entries(self, here: Draw, number: int) -> Iterator[Entry]:
        """θ₀, control and null, measured on what was requested up to now."""
        of, original, first = self.draw.recipe.requests, self.original, self.first
        entry = here.entry("original", after("original", number, of), original, original, first)
        if number < of:  # the last request's measure is the whole world's, which ``first`` has
            asked = here.evaluate(after("original", number, of), original, original, first)
            entry = dataclasses.replace(entry, evaluate=asked)
        yield dataclasses.replace(entry, label="original")
        if self.trunk is not None:
            control = here.entry("control", after("control", number, of), self.trunk, original, first)
            yield dataclasses.replace(control, label="control")
            if self.draw.recipe.null:
                null = self.draw.trunk(1, "null")
                models = {"model": null, "original_model": original}
                yield Entry("null", "null", null, None, here.attacks(after("null", number, of), models, first))

    def methods(self, here: Draw, number: int, left: dict[str, Cell | None]) -> Iterator[Entry]:
        """Every method, from what it left after the request before; ``left`` is brought up to date."""
        alone = self.draw.between(number, number)
        for spec in self.draw.recipe.methods_of(self.draw.world):
            label = after(spec.label, number, self.draw.recipe.requests)
            start = left.get(spec.label, self.original)
            made = alone.unlearn(dataclasses.replace(spec, label=label), start, self.first)
            left[spec.label] = made
            yield here.entry("method", label, made, self.original, self.first)
