"""How many of a source's rows the attacker holds: nested draws, and their names in attack points."""

import random
from collections.abc import Sequence
from typing import TypeVar

from expunge.core.errors import InputError

ALL = "all"
Size = int | str
Item = TypeVar("Item")


def check_size(size: Size) -> Size:
    """A size as a number of rows, or ``all``; :class:`InputError` for anything else."""
    if size == ALL or (isinstance(size, int) and not isinstance(size, bool) and size >= 1):
        return size
    raise InputError(f"attack 'relearn': size {size!r} is no number of rows; give one from 1 on, or {ALL!r}.")


def named(source: str, size: Size) -> str:
    """The source's name in a point: ``qa:20`` for 20 rows, ``qa`` for all of them."""
    return source if size == ALL else f"{source}:{size}"


def parts(name: str) -> tuple[str, Size]:
    """Source and size of a point's source."""
    source, _, size = name.rpartition(":")
    return (source, int(size)) if source and size.isdigit() else (name, ALL)


def walked(sizes: Sequence[Size], rows: int | None) -> list[Size]:
    """The sizes that differ where a source has ``rows`` rows (``None``: not known yet, so all of them).

    Of those that would take every row one is kept: ``all`` where it was asked for, else the smallest.
    """
    unlike = list(dict.fromkeys(sizes))
    if rows is None:
        return unlike
    whole = [size for size in unlike if not isinstance(size, int) or size >= rows]
    kept = ALL if ALL in whole else min((size for size in whole if isinstance(size, int)), default=ALL)
    return [size for size in unlike if size not in whole or size == kept]


def first_rows(rows: Sequence[Item], size: Size, seed: int) -> list[Item]:
    """``size`` rows in their own order; of one seed a smaller draw lies within a larger one."""
    order = random.Random(seed).sample(range(len(rows)), len(rows))
    held = set(order if isinstance(size, str) else order[:size])
    return [row for place, row in enumerate(rows) if place in held]
