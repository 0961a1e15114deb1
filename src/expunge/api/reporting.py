"""The verb ``report``."""

from pathlib import Path


def report(run: str | Path) -> Path:
    """Rebuild ``report.html``, ``report.md`` and ``report.csv`` of the study folder ``run``.

    Returns the path of the HTML file. Raises :class:`InputError` when ``run`` holds no finished audit.
    """
    from expunge.report.write import build

    return build(Path(run))
