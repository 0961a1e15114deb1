"""Worlds whose models somebody else made: read where they lie, or seen through an endpoint in text alone."""

from collections.abc import Iterator

from expunge.study.plan_cells import Draw
from expunge.study.plan_entries import Entry
from expunge.study.plan_taught import methods
from expunge.study.text_plan import TextCells


def given(draw: Draw) -> Iterator[Entry]:
    """Models are read where they lie; without the original each candidate is measured against itself."""
    section = draw.recipe.given
    assert section is not None
    original = draw.read("original", section.original, None) if section.original is not None else None
    made = {label: draw.read(label, path, original) for label, path in section.candidates.items()}
    first = draw.evaluate("original", original or next(iter(made.values())), None, None)
    if original is not None:
        yield draw.entry("original", "original", original, None, first)
    for role, path in (("control", section.control), ("null", section.null)):
        if path is not None:
            models = {"model": draw.read(role, path, original, knows=False), "original_model": original}
            measured = draw.evaluate(role, models["model"], original, first) if original is not None else None
            placebo = draw.placebo(role, role, models, first) if role == "control" and measured is not None else ()
            yield Entry(role, role, models["model"], measured, draw.attacks(role, models, first), placebo)
    for label, cell in made.items():
        if original is not None:
            yield draw.entry("method", label, cell, original, first)
            continue
        own = draw.evaluate(label, cell, None, None)
        yield Entry("method", label, cell, own, draw.attacks(label, {"model": cell}, own))
    yield from methods(draw, original, first)


def in_text(draw: Draw) -> Iterator[Entry]:
    """A candidate behind an endpoint: all are seen in text alone."""
    for read in TextCells(draw.recipe, draw.knowledge, draw.seed, draw.label("")[:-2]).entries():
        yield Entry(read.role, read.label, read.made, read.evaluate, read.attacks)
