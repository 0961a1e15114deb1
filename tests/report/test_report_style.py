"""The colours of the page can be read in light and in dark: WCAG contrast, from the definition."""

import re
from pathlib import Path

import pytest

import expunge.report

CSS = (Path(expunge.report.__file__).parent / "templates" / "style.css").read_text()
LIGHT, DARK = (dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block)) for block in CSS.split("\n}\n", 2)[:2])
TEXT = ("ink-text", "soft", "link", "bad", "good", "unsure")
LARGE = ("warn", "control", *(f"method-{index}" for index in range(7)))


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.1)."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_text_and_lines_stand_out(palette: dict[str, str]) -> None:
    for page in (palette["page"], palette["raised"]):
        assert [name for name in TEXT if contrast(palette[name], page) < 4.5] == []
        assert [name for name in LARGE if contrast(palette[name], page) < 3.0] == []


def test_both_palettes_name_the_same_colours() -> None:
    assert LIGHT.keys() == DARK.keys() and {*TEXT, *LARGE} <= LIGHT.keys()
