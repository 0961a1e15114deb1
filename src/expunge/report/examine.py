"""Write ``examine.md`` and ``examine.svg`` beside a study that examined its audit."""

from pathlib import Path

from expunge.core.errors import InputError
from expunge.core.files import read_json, write_text
from expunge.report import examine_plot, examine_text
from expunge.report.node import Node

SOURCE, TEXT, PICTURE = "examine.json", "examine.md", "examine.svg"
SCHEMA = 1


def build(run: Path) -> Path | None:
    """Write both files into ``run`` and return the path of the text; ``None`` where the study examined no audit.

    Raises :class:`InputError` when examine.json is malformed or of another version, or ``run`` is not writable.
    """
    source = run / SOURCE
    if not source.is_file():
        return None
    root = Node(source, "the top", read_json(source))
    if root["schema"] != SCHEMA:
        raise InputError(f"{SOURCE} has schema {root['schema']}, this version reads {SCHEMA}; run the recipe again.")
    page = examine_text.render(root, run.resolve().name, PICTURE)
    try:
        examine_plot.draw(root, run / PICTURE)
        write_text(run / TEXT, page)
    except OSError as error:
        raise InputError(f"{run / TEXT} cannot be written ({error.strerror}); free or unlock the folder.") from error
    return run / TEXT
