"""``expunge audit``: somebody else's checkpoint, attacked and judged."""

from typing import TYPE_CHECKING, Annotated

import typer

from expunge.cli.options import Asked, Facts, Kept, Nproc, Original, Out, Required, Seed

if TYPE_CHECKING:
    from expunge.study.estimate import Plan


def audit(
    ctx: typer.Context,
    candidate: Asked,
    forget: Facts = None,
    retain: Kept = None,
    original: Original = None,
    control: Annotated[
        list[str] | None,
        typer.Option(help="A model that never knew the forget set; a second one becomes the null row."),
    ] = None,
    suite: Annotated[str, typer.Option(help="Which attacks: quick, standard or full.")] = "standard",
    placebo: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Subjects that never existed, drawn from the forget facts and attacked as well; 0 for none.",
            show_default="as many as can be drawn, where the verdict may turn on them",
        ),
    ] = None,
    require: Required = None,
    out: Out = None,
    nproc: Nproc = None,
    seed: Seed = 0,
) -> None:
    """Audit a checkpoint of unknown making: is the knowledge gone, or only hidden? Run it again to continue."""
    from expunge import api
    from expunge.cli.progress import Ticker
    from expunge.cli.tables import attacks, verdicts

    plugins = ctx.find_root().params.get("plugin") or ()
    done = api.audit(
        candidate, forget, retain, original=original, control=control, suite=suite, placebo=placebo,
        require=require, out=out, seed=seed, nproc=nproc, announce=_cost, notify=Ticker(), plugins=plugins,
    )  # fmt: skip
    if done.audit is not None:
        verdicts(done.audit)
        attacks(done.audit)
        typer.echo(f"report: {done.report}")
    for cell, sentence in done.failed.items():
        typer.echo(f"expunge: {cell}: {sentence}", err=True)
    if done.failed:
        typer.echo("expunge: not every cell is done; run the same command again to retry.", err=True)
        raise typer.Exit(1)
    if done.unmet is not None:
        raise done.unmet


def _cost(planned: "Plan") -> None:
    typer.echo(planned.summary())
