"""From a recipe to its cells: which cell reads which, each once.

    knowledge ─► trunk (the control) ─► θ₀ ─► evaluate θ₀ ─► unlearn ─► evaluate, attack ─► audit
                 trunk of a second seed (the null row) ─► attack
                 trunks of further seeds (innocents) ─► evaluate, attack ─► audit
    where facts are asked for in several requests: a chain of unlearn cells a method (:mod:`.plan_requests`)
    and, where the audit is examined:    hider, θ₀ ─► certify;  all that the audit reads, certify ─► examine

The worlds are drawn here already (cheap, no model), so that cells which read equal content are one cell.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from expunge.core.errors import InputError
from expunge.study.asked import over_replicates
from expunge.study.cells import Cell, in_order
from expunge.study.plan_cells import Draw
from expunge.study.plan_entries import Entry, Replicate, indexed, measures
from expunge.study.plan_given import given, in_text
from expunge.study.plan_requests import Stage, stages
from expunge.study.plan_taught import known, taught
from expunge.study.pool import families_of
from expunge.study.recipe import Recipe
from expunge.study.sections import World

GIVEN = ("given", "given_text")
"""Kinds of cells that note a model which somebody else made."""


@dataclass(frozen=True)
class Study:
    """All cells of a recipe; with requests, ``worlds`` are the worlds after each of them, and ``stages`` say which."""

    recipe: Recipe
    worlds: tuple[tuple[World, tuple[Replicate, ...]], ...]
    stages: tuple[Stage, ...] = ()

    @cached_property
    def audit(self) -> Cell:
        """The last cell, which reads every evaluation and attack."""
        named = dict(self._named())
        section = self.recipe.audit.as_dict()
        worlds = [self._outline(number) for number in range(len(self.worlds))]
        attacks = [attack.as_dict() for attack in self.recipe.attacks]
        given = {} if self.recipe.given is None else {"not_tested": list(self.recipe.given.not_tested)}
        more = {**given, **over_replicates(self.recipe.eval)}
        config = {**section, "seed": 0, "attacks": attacks, "worlds": worlds, **more}
        return Cell("audit", config, named, label="audit")

    @cached_property
    def examine(self) -> Cell | None:
        """The cell that examines the audit on models whose truth is known, where the recipe asks for it."""
        section = self.recipe.examine
        if section is None:
            return None
        families = families_of(self.recipe)
        innocent = {one.label: one.certificate for one in self.recipe.innocents}
        truths = {**dict.fromkeys(innocent, "N"), **dict.fromkeys(section.damaged, "damaged")}
        certificates = {**innocent, **section.hiders}
        pool = {
            label: {
                "truth": truths.get(label, "P"),
                "family": family,
                "held_out": label in section.held_out,
                "certificate": None if (part := certificates.get(label)) is None else part.name,
            }
            for label, family in families.items()
        }
        certify = dict(self._certificates())
        config = {**self.audit.config, "pool": pool}
        return Cell("examine", config, {**self.audit.inputs, **certify}, label="the audit examined")

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """Every cell, inputs first."""
        return in_order([self.audit, *([self.examine] if self.examine is not None else [])])

    def index(self) -> dict[str, Any]:
        """``index.json``: which folder holds what, by world, model and replicate."""
        return {"schema": 1, "worlds": [{"label": w.label, "cells": indexed(reps)} for w, reps in self.worlds]}

    def _named(self) -> Iterator[tuple[str, Cell]]:
        """The audit's inputs by name; given models first, so that one that cannot be audited is refused at once."""
        for w, (_, replicates) in enumerate(self.worlds):
            for r, replicate in enumerate(replicates):
                for e, entry in enumerate(replicate.entries):
                    if entry.made is not None and entry.made.kind in GIVEN:
                        yield f"w{w}.r{r}.e{e}.given", entry.made
        for w, (_, replicates) in enumerate(self.worlds):
            for r, replicate in enumerate(replicates):
                yield f"w{w}.r{r}.knowledge", replicate.knowledge
                for e, entry in enumerate(replicate.entries):
                    for name, cell in measures(entry):
                        yield f"w{w}.r{r}.e{e}.{name}", cell

    def _certificates(self) -> Iterator[tuple[str, Cell]]:
        """The certificates by name, which the audit does not read."""
        for w, (_, replicates) in enumerate(self.worlds):
            for r, replicate in enumerate(replicates):
                for entry in replicate.entries:
                    if entry.certify is not None:
                        yield f"w{w}.r{r}.certify.{entry.label}", entry.certify

    def _outline(self, w: int) -> dict[str, Any]:
        """What the audit must know of a world, with the names of its inputs."""
        world, replicates = self.worlds[w]
        rows = [
            {
                "knowledge": f"w{w}.r{r}.knowledge",
                "models": [
                    {
                        "role": entry.role,
                        "label": entry.label,
                        "measures": {name: f"w{w}.r{r}.e{e}.{name}" for name, _ in measures(entry)},
                    }
                    for e, entry in enumerate(replicate.entries)
                ],
            }
            for r, replicate in enumerate(replicates)
        ]
        plain = {key: value for key, value in world.as_dict().items() if key != "methods"}
        text = {"in_text": True} if self.recipe.given is not None and self.recipe.given.in_text else {}
        seeds = list(self.recipe.seeds)
        stage = {"sequence": self.stages[w].as_dict()} if self.stages else {}
        return {"label": world.label, "knowledge": plain, "seeds": seeds, "replicates": rows, **text, **stage}


def study_of(recipe: Recipe) -> Study:
    """The cells of every world and replicate. Raises :class:`InputError` where a world cannot be drawn."""
    if not recipe.attacks:
        raise InputError("the recipe has no attacks, so nothing could be audited; name some, such as [relearn].")
    if recipe.requests > 1:
        found = [stage for world in recipe.knowledge for stage in stages(recipe, world)]
        return Study(recipe, tuple((named, rows) for named, rows, _ in found), tuple(stage for *_, stage in found))
    drawn = (tuple(_replicate(Draw(recipe, world, seed)) for seed in recipe.seeds) for world in recipe.knowledge)
    return Study(recipe, tuple(zip(recipe.knowledge, drawn, strict=True)))


def _replicate(draw: Draw) -> Replicate:
    """All cells of one world and seed."""
    return Replicate(draw.seed, draw.knowledge, draw.facts, tuple(_way(draw)(draw)))


def _way(draw: Draw) -> Callable[[Draw], Iterator[Entry]]:
    """How the models of a world come about."""
    section = draw.recipe.given
    if draw.world.taught:
        return taught
    if section is None:
        return known
    return in_text if section.in_text else given
