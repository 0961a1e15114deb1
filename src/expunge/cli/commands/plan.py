"""``expunge plan``: what a recipe would run."""

from expunge.cli.options import Overrides, Recipe, StudyFolder


def plan(recipe: Recipe, overrides: Overrides = None, out: StudyFolder = None) -> None:
    """List a recipe's cells, what is already done, and an estimate of tokens, time and memory."""
    from expunge import api
    from expunge.cli.tables import cells

    cells(api.plan(recipe, overrides or (), out))
