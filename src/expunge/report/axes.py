"""What the figures have in common: one frame, and level lines."""

from typing import TYPE_CHECKING

from expunge.report.shapes import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Left, bottom, width, height as shares of the figure; fixed, so that the axes of all panels line up.
FRAME = (0.155, 0.185, 0.805, 0.765)


def mark_level(axes: "Axes", reading: Interval | None, ink: str, dashes: tuple[int, int]) -> None:
    """A level line across the panel; none where it was not measured."""
    if reading is not None:
        axes.axhline(100 * reading.value, color=ink, linewidth=1.2, linestyle=(0, dashes))


def frame(x: str, y: str) -> tuple["Figure", "Axes"]:
    """A figure of 3.6 × 2.7 inches, which a phone shows at about its own size."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.6, 2.7))
    axes = figure.add_axes(FRAME)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    return figure, axes
