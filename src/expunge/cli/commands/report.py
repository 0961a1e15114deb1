"""``expunge report``: the report of a study, built again."""

from pathlib import Path
from typing import Annotated

import typer


def report(run: Annotated[Path, typer.Argument(help="A study folder.", show_default=False)]) -> None:
    """Rebuild a study's report (HTML, Markdown, CSV) from its records."""
    from expunge import api

    typer.echo(f"report: {api.report(run)}")
