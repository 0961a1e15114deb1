"""A line on standard error whenever a cell of a study starts or ends."""

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from expunge.study.cells import Cell


@dataclass(slots=True)
class Ticker:
    """Called with an event (``start``, ``done``, ``failed``, ``skipped``), the cell, and a sentence."""

    began: dict[str, float] = field(default_factory=dict)

    def __call__(self, event: str, cell: "Cell", sentence: str) -> None:
        """Say what happened, with the seconds it took."""
        took = ""
        if event == "start":
            self.began[cell.folder] = time.monotonic()
        elif cell.folder in self.began:
            took = f"  {time.monotonic() - self.began[cell.folder]:.0f} s"
        typer.echo(f"{event:<8}{cell.folder}  {cell.label}{took}  {sentence}".rstrip(), err=True)
