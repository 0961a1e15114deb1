"""``expunge evaluate``: measure a model on what must go and on what must stay."""

from pathlib import Path
from typing import Annotated

import typer

from expunge.cli.options import Facts, Kept, Model, Nproc, Original, Out, Seed


def evaluate(
    model: Model,
    forget: Facts = None,
    retain: Kept = None,
    original: Original = None,
    control: Annotated[str | None, typer.Option(help="A model that never knew the forget set.")] = None,
    holdout: Annotated[
        Path | None, typer.Option(help="JSON Lines of facts that no model was taught, for membership attacks (mia_…).")
    ] = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option("--metric", help="A metric, or a pattern such as 'mia_*'; repeat. Default: all that cost little."),
    ] = None,
    judge: Annotated[
        str | None, typer.Option(help="Who rules on the written answers; see `expunge ls judges`. Default: nobody.")
    ] = None,
    out: Out = None,
    seed: Seed = 0,
    nproc: Nproc = None,
) -> None:
    """Measure a model: does it still say it, and what did forgetting cost?"""
    from expunge import api
    from expunge.cli.starting import on_processes
    from expunge.cli.tables import metrics as show_metrics
    from expunge.distributed.launch import is_first

    on_processes(nproc)
    done = api.evaluate(
        model, forget, retain, original=original, control=control, holdout=holdout, metrics=metrics, judge=judge,
        out=out, seed=seed, nproc=nproc,
    )  # fmt: skip
    if not is_first():
        return
    show_metrics(done)
    typer.echo(f"record: {done.folder}")
