"""Worlds that are taught: trunk, θ₀ and null, further never-taught models, then the methods; and known worlds."""

import dataclasses
from collections.abc import Iterator

from expunge.study.cells import Cell
from expunge.study.plan_cells import Draw
from expunge.study.plan_entries import Entry


def taught(draw: Draw) -> Iterator[Entry]:
    """Trunk, θ₀ and null are taught; the trunk is the control."""
    trunk = draw.trunk(0, "control")
    original = draw.original(trunk)
    first = draw.evaluate("original", original, None, None)
    yield draw.entry("original", "original", original, original, first)
    yield draw.entry("control", "control", trunk, original, first)
    if draw.recipe.null:
        null = draw.trunk(1, "null")
        models = {"model": null, "original_model": original}
        yield Entry("null", "null", null, None, draw.attacks("null", models, first))
    yield from _innocents(draw, original, first)
    yield from methods(draw, original, first)


def known(draw: Draw) -> Iterator[Entry]:
    """Nothing is taught: the recipe's model is the original, and placebos stand in for the control."""
    first = draw.evaluate("original", None, None, None)
    yield draw.entry("original", "original", None, None, first)
    yield from methods(draw, None, first)


def methods(draw: Draw, original: Cell | None, first: Cell) -> Iterator[Entry]:
    """Every method of the world; a hider, where the audit is examined, with its certificate."""
    hiders = draw.recipe.examine.hiders if draw.recipe.examine is not None else {}
    for spec in draw.recipe.methods_of(draw.world):
        made = draw.unlearn(spec, original, first)
        entry = draw.entry("method", spec.label, made, original, first)
        if spec.label in hiders and original is not None:
            entry = dataclasses.replace(entry, certify=draw.certify(spec.label, hiders[spec.label], made, original))
        yield entry


def _innocents(draw: Draw, original: Cell, first: Cell) -> Iterator[Entry]:
    """Models that were never taught the facts stand in a method's place; the audit is not told."""
    for innocent in draw.recipe.innocents:
        made = draw.trunk(innocent.number, innocent.label, innocent)
        entry = draw.entry("method", innocent.label, made, original, first)
        if innocent.certificate is not None:
            entry = dataclasses.replace(
                entry, certify=draw.certify(innocent.label, innocent.certificate, made, original)
            )
        yield entry
