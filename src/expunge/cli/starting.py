"""A command that several processes carry out together."""

import sys

import typer


def on_processes(nproc: int | None) -> None:
    """Start this very command in ``nproc`` processes and exit with their code; go on where they are started already."""
    from expunge.distributed.launch import is_launched, launch

    if nproc is not None and not is_launched():
        raise typer.Exit(launch(nproc, sys.argv[1:]))
