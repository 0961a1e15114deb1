"""Write the three files of a report beside the study they describe."""

from pathlib import Path

from expunge.core.errors import InputError
from expunge.core.files import write_text
from expunge.report import csv_file, html, load, markdown

WRITERS = {"report.csv": csv_file.render, "report.md": markdown.render, "report.html": html.render}


def build(run: Path) -> Path:
    """Write report.html, report.md and report.csv into ``run`` and return the path of the HTML file.

    Raises :class:`InputError` when the study has no audit yet, a file of it is malformed, or ``run`` is not writable.
    All three are rendered before the first is written.
    """
    study = load.study(run)
    texts = {name: render(study) for name, render in WRITERS.items()}
    for name, content in texts.items():
        try:
            write_text(run / name, content)
        except OSError as error:
            raise InputError(
                f"{run / name} cannot be written ({error.strerror}); free or unlock the folder."
            ) from error
    return run / "report.html"
