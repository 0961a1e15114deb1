"""What judges were asked and what they said, kept as ``judgements.jsonl`` beside the samples."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from expunge.core.files import write_jsonl

FILE = "judgements.jsonl"
"""A line: ``judge``, ``id`` (of the row), ``prompt`` (what the model was shown), ``answer``, ``generated``, ``hit``,
``score``, and of a judge that is itself asked, ``judge_prompt`` and ``judge_reply``."""

_open: ContextVar[list[dict[str, Any]] | None] = ContextVar("judgements", default=None)


@contextmanager
def kept_in(folder: Path) -> Iterator[None]:
    """Write every judgement made inside the block to ``folder``; no file where there was none."""
    rows: list[dict[str, Any]] = []
    token = _open.set(rows)
    try:
        yield
    finally:
        _open.reset(token)
        if rows:
            write_jsonl(folder / FILE, rows)


def note(rows: Iterable[Mapping[str, Any]]) -> None:
    """Keep ``rows`` where somebody keeps them."""
    kept = _open.get()
    if kept is not None:
        kept.extend(dict(row) for row in rows)
