"""The figure of what forgetting cost: utility against what is still, or again, answered."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from markupsafe import Markup

from expunge.report import svg
from expunge.report.axes import frame, mark_level
from expunge.report.shapes import Method, World
from expunge.report.text import level

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Point = tuple[float, float]


def tradeoff(world: World, name: str) -> Markup:
    """Utility against share of V answered, from before the attack (hollow) to after it (filled)."""
    import matplotlib

    with matplotlib.rc_context(svg.RC):
        figure, axes = frame("Utility (original = 1)", "Share of V answered (%)")
        mark_level(axes, world.control.after, svg.CONTROL, (4, 2))
        if world.original is not None:
            axes.plot([1], [100 * world.original.value], "*", color=svg.TEXT, markersize=11, clip_on=False)
        for index, method in enumerate(world.methods):
            for start, end in _journey(method):
                _arrow(axes, start, end, svg.method_ink(index))
        axes.set_xlim(0, 1.05)
        axes.set_ylim(0, 100)
        return svg.inline(figure, f"{name}-t", _tradeoff_alt(world))


def _journey(method: Method) -> Iterator[tuple[Point, Point]]:
    if method.utility_before is not None:
        after = method.utility_before if method.utility_after is None else method.utility_after
        yield (method.utility_before, 100 * method.before.value), (after, 100 * method.after.value)


def _arrow(axes: "Axes", start: Point, end: Point, ink: str) -> None:
    style = {"arrowstyle": "-|>", "color": ink, "linewidth": 1.6, "shrinkA": 4, "shrinkB": 2}
    axes.annotate("", xy=end, xytext=start, arrowprops=style)
    axes.plot(
        *start, "o", markersize=7, markerfacecolor=svg.PAGE, markeredgecolor=ink, markeredgewidth=2, clip_on=False
    )
    axes.plot(*end, "o", markersize=7, color=ink, clip_on=False)


def _tradeoff_alt(world: World) -> str:
    parts = [
        f"{method.label}: from utility {start[0]:.2f} and {start[1]:.0f} % answered before the attack "
        f"to utility {end[0]:.2f} and {end[1]:.0f} % after it."
        for method in world.methods
        for start, end in _journey(method)
    ]
    return f"Utility and share of V answered. {' '.join(parts)} Control after: {level(world.control.after)}."
