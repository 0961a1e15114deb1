"""``expunge plan``: what a recipe would run."""

from typing import Annotated

import typer

from expunge.cli.options import Overrides, Recipe, StudyFolder

Calibrate = Annotated[bool, typer.Option("--calibrate", help="Measure this machine's speed with the model first.")]


def plan(recipe: Recipe, overrides: Overrides = None, out: StudyFolder = None, calibrate: Calibrate = False) -> None:
    """List a recipe's cells, what is already done, and an estimate of tokens, time and memory."""
    from expunge import api
    from expunge.cli.tables import cells

    cells(api.plan(recipe, overrides or (), out, calibrate=calibrate))
