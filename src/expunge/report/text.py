"""Numbers and foreign text as a reader should see them."""

import math
import unicodedata
from collections.abc import Callable, Mapping

from markupsafe import Markup

from expunge.report.shapes import Interval

NOTHING = "–"
_PLAIN_CONTROLS = "\n\t"
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
# Joiners shape emoji and several scripts; they hide nothing.
_SHAPERS = "\u200c\u200d"


def visible(text: str) -> str:
    """``text`` with control, bidirectional-override and lone surrogate characters written out as escapes.

    A model can emit characters that reorder or hide what follows; the reader must see them.
    """
    return "".join(_escape(character) for character in text)


def _escape(character: str) -> str:
    kept = character in _PLAIN_CONTROLS or character in _SHAPERS
    if kept or unicodedata.category(character) not in _HIDDEN:
        return character
    return character.encode("unicode_escape").decode()


def finalize(value: object) -> object:
    """What every template expression passes through: :func:`visible` for strings, markup untouched."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def share(value: float) -> str:
    """A proportion (0–1) in per cent, with a narrow no-break space."""
    return NOTHING if math.isnan(value) else f"{100 * value:.0f}\u202f%"


def level(value: Interval | None) -> str:
    """The share alone, without its interval; a dash where it was not measured."""
    return NOTHING if value is None else share(value.value)


def ratio(value: float) -> str:
    """A ratio with two digits; a true minus sign, never ``-0.00``."""
    return NOTHING if math.isnan(value) else f"{value + 0.0:.2f}".replace("-0.00", "0.00").replace("-", "\u2212")


def _share_end(value: float) -> str:
    return f"{100 * value:.0f}"


UNITS: Mapping[str, tuple[Callable[[float], str], Callable[[float], str]]] = {
    "share": (share, _share_end),
    "ratio": (ratio, ratio),
}


def number(value: Interval | float | None, unit: str) -> str:
    """``52 % [41, 63]`` or ``0.73 [0.60, 0.85]``; a bare number without interval; a dash for None."""
    if value is None:
        return NOTHING
    whole, end = UNITS[unit]
    if isinstance(value, Interval):
        return f"{whole(value.value)} [{end(value.low)},\u00a0{end(value.high)}]"
    return whole(value)


def cut(text: str, limit: int = 400) -> str:
    """``text``, or its first ``limit`` characters and a note of how many follow."""
    rest = len(text) - limit
    return text if rest <= 0 else f"{text[:limit]} … ({rest} more characters in samples.jsonl)"


def plural(count: int, noun: str) -> str:
    """``1 replicate``, ``3 replicates``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
