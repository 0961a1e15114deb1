"""A matplotlib figure as inline SVG that takes its colours and font from the page around it.

Shapes are drawn in marker colours (:data:`INKS`); afterwards each becomes a CSS variable, so one drawing serves
light and dark. Only numbers and our own words go into a drawing: names from a recipe stay in HTML.
"""

import html
import io
import re
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from expunge.report.text import visible

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METHOD_INKS = 7
INKS = {
    "#010203": "currentColor",
    "#010204": "var(--control)",
    "#010205": "var(--grid)",
    "#010206": "var(--page)",
    **{f"#0102{16 + index:02x}": f"var(--method-{index})" for index in range(METHOD_INKS)},
}
TEXT, CONTROL, GRID, PAGE = list(INKS)[:4]
RC: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "expunge",
    "font.size": 10,
    "axes.edgecolor": TEXT,
    "axes.labelcolor": TEXT,
    "text.color": TEXT,
    "xtick.color": TEXT,
    "ytick.color": TEXT,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def method_ink(index: int) -> str:
    """The marker colour of the ``index``-th method; colours repeat after :data:`METHOD_INKS` methods."""
    return list(INKS)[4 + index % METHOD_INKS]


def inline(figure: "Figure", name: str, alt: str) -> Markup:
    """``figure`` as an ``<svg>`` element. ``name`` makes its ids unique in the page; ``alt`` is its description."""
    stream = io.StringIO()
    figure.savefig(
        stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
    )
    body = stream.getvalue()
    body = body[body.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r' xmlns(:\w+)?="[^"]*"', "", body).replace("xlink:href", "href")
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", body)
    body = re.sub(r"font: ([\d.]+px) [^;\"]+", r"font: \1 var(--font)", body)
    for ink, colour in INKS.items():
        body = body.replace(ink, colour)
    label = html.escape(visible(alt))
    return Markup(_head(body, name, label))


def _head(body: str, name: str, label: str) -> str:
    """Fit the drawing to its box (no fixed size) and describe it for those who do not see it."""
    head, rest = body.split(">", 1)
    box = re.search(r'viewBox="[^"]*"', head)
    assert box is not None
    return f'<svg {box.group()} role="img" aria-labelledby="{name}-alt"><title id="{name}-alt">{label}</title>{rest}'
