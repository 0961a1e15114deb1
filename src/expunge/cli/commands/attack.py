"""``expunge attack``: try to bring the knowledge back."""

from typing import Annotated

import typer

from expunge.cli.options import Facts, Kept, Model, Nproc, Original, Out, Seed


def attack(
    model: Model,
    attack: Annotated[str, typer.Option(help="Which attack; see `expunge ls attacks`.")] = "relearn",
    forget: Facts = None,
    retain: Kept = None,
    original: Original = None,
    control: Annotated[str | None, typer.Option(help="A model that never knew the forget set.")] = None,
    rates: Annotated[list[float] | None, typer.Option("--rate", help="A learning rate; repeat for a grid.")] = None,
    steps: Annotated[list[int] | None, typer.Option("--steps", help="A step budget; repeat for a grid.")] = None,
    sources: Annotated[list[str] | None, typer.Option("--source", help="What the attacker trains on; repeat.")] = None,
    access: Annotated[str | None, typer.Option(help="full, balanced or lora; default: the attack's.")] = None,
    out: Out = None,
    seed: Seed = 0,
    nproc: Nproc = None,
) -> None:
    """Attack a model over a grid of budgets and show how much comes back."""
    from expunge import api
    from expunge.cli.starting import on_processes
    from expunge.cli.tables import recovery
    from expunge.distributed.launch import is_first

    on_processes(nproc)
    done = api.attack(
        model, attack, forget, retain, original=original, control=control, rates=rates, steps=steps,
        sources=sources, access=access, out=out, seed=seed, nproc=nproc,
    )  # fmt: skip
    if not is_first():
        return
    recovery(done)
    typer.echo(f"record: {done.folder}")
