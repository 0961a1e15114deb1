"""``expunge unlearn``: make a model forget."""

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from expunge.cli.options import Nproc, Seed, Template


def unlearn(
    model: Annotated[str, typer.Option(help="Folder, hub id, GGUF file or alias.", show_default=False)],
    forget: Annotated[Path, typer.Option(help="JSON Lines of what must go.", show_default=False)],
    retain: Annotated[Path | None, typer.Option(help="JSON Lines of what must stay.")] = None,
    method: Annotated[str, typer.Option(help="For example npo, npo+sam or npo+sam@lora; see `expunge ls`.")] = "npo",
    out: Annotated[Path, typer.Option("--out", "-o", help="The new model's folder.")] = Path("out"),
    template: Template = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate; default: the method's.")] = None,
    steps: Annotated[int | None, typer.Option(help="Optimizer steps; default: the method's.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Rows of each stream a step; default: the method's.")] = None,
    max_kl: Annotated[float | None, typer.Option(help="Stop when the mean KL to the original passes this.")] = None,
    seed: Seed = 0,
    nproc: Nproc = None,
    gather: Annotated[str, typer.Option(help="With --nproc: the type a block computes in, fp32 or bf16.")] = "fp32",
    activation_checkpointing: Annotated[
        bool, typer.Option("--activation-checkpointing", help="With --nproc: recompute blocks in the backward pass.")
    ] = False,
    cpu_offload: Annotated[bool, typer.Option("--cpu-offload", help="With --nproc: keep shards on the CPU.")] = False,
) -> None:
    """Make a model forget; the result is an ordinary Hugging Face folder."""
    from expunge import api
    from expunge.cli.starting import on_processes
    from expunge.distributed.launch import is_first

    on_processes(nproc)
    done = api.unlearn(
        model, forget, retain, method=method, out=out, template=template, lr=lr, steps=steps,
        batch_size=batch_size, max_kl=max_kl, seed=seed, nproc=nproc, gather=gather,
        activation_checkpointing=activation_checkpointing, cpu_offload=cpu_offload, progress=sys.stderr.isatty(),
        announce=partial(typer.echo, err=True),
    )  # fmt: skip
    if not is_first():
        return
    for note in done.notes:
        typer.echo(note)
    typer.echo(f"model: {done.folder}")
