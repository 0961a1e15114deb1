"""``expunge show``: one component in full."""

from typing import Annotated

import typer


def show(name: Annotated[str, typer.Argument(help="A name that `expunge ls` lists.", show_default=False)]) -> None:
    """Describe a component: what it does, its paper, and its hyper-parameters with their defaults."""
    from expunge.api.catalogue import described

    typer.echo("\n\n".join(described(name)))
