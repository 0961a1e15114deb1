"""``expunge run``: a whole study, from a recipe to a report."""

from typing import Any

import typer

from expunge.cli.options import Executor, Overrides, Recipe, Redact, Required, RetryFailed, StudyFolder, TimeoutMin


def run(
    ctx: typer.Context,
    recipe: Recipe,
    overrides: Overrides = None,
    out: StudyFolder = None,
    require: Required = None,
    retry_failed: RetryFailed = True,
    redact: Redact = False,
    executor: Executor = None,
    timeout_min: TimeoutMin = None,
) -> None:
    """Run a recipe: teach, unlearn, attack, audit, report. Run it again to continue where it stopped."""
    from expunge import api
    from expunge.cli.progress import Ticker
    from expunge.cli.tables import verdicts

    plugins = ctx.find_root().params.get("plugin") or ()
    options: dict[str, Any] = {"retry_failed": retry_failed, "redact": redact}
    place = {"executor": executor, "timeout_min": timeout_min}
    options |= {key: value for key, value in place.items() if value is not None}
    finished = api.run(recipe, overrides or (), out, require=require or (), notify=Ticker(), plugins=plugins, **options)
    if finished.audit is not None:
        verdicts(finished.audit)
        typer.echo(f"report: {finished.report}")
    for cell, sentence in finished.failed.items():
        typer.echo(f"expunge: {cell}: {sentence}", err=True)
    if finished.failed:
        typer.echo("expunge: not every cell is done; run the same command again to retry.", err=True)
        raise typer.Exit(1)
    if finished.unmet is not None:
        raise finished.unmet
