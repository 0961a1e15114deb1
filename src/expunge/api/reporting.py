"""The verb ``report``."""

from pathlib import Path


def report(run: str | Path) -> Path:
    """Rebuild ``report.html``, ``report.md`` and ``report.csv`` of the study folder ``run``.

    Where the study examined the audit itself, ``examine.md`` and ``examine.svg`` are rebuilt too.
    Returns the path of the HTML file. Raises :class:`InputError` when ``run`` holds no finished audit.
    """
    from expunge.report import examine, write

    examine.build(Path(run))
    return write.build(Path(run))
