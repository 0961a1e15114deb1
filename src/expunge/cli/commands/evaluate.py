"""``expunge evaluate``: measure a model on what must go and on what must stay."""

from typing import Annotated

import typer

from expunge.cli.options import Facts, Kept, Model, Original, Out, Seed


def evaluate(
    model: Model,
    forget: Facts = None,
    retain: Kept = None,
    original: Original = None,
    metrics: Annotated[list[str] | None, typer.Option("--metric", help="A metric; repeat. Default: all.")] = None,
    out: Out = None,
    seed: Seed = 0,
) -> None:
    """Measure a model: does it still say it, and what did forgetting cost?"""
    from expunge import api
    from expunge.cli.tables import metrics as show_metrics

    done = api.evaluate(model, forget, retain, original=original, metrics=metrics, out=out, seed=seed)
    show_metrics(done)
    typer.echo(f"record: {done.folder}")
