"""``expunge ls``: what there is."""

from typing import Annotated

import typer


def ls(
    kind: Annotated[str | None, typer.Argument(help="methods, attacks, metrics …; without: all kinds.")] = None,
) -> None:
    """List what expunge and the loaded plugins offer."""
    from expunge.api.catalogue import catalogue
    from expunge.cli.tables import components

    components(catalogue(kind))
