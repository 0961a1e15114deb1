"""The report of a study: HTML that opens offline, Markdown and CSV, all from one table."""

from pathlib import Path


def build(run: Path) -> Path:
    """Write report.html, report.md and report.csv into ``run``; see :func:`expunge.report.write.build`."""
    from expunge.report.write import build as write

    return write(run)
