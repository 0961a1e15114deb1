"""The picture of a comparison: utility before the attack against worst-case excess recovery, one mark a method.

Good methods stand at the lower right: useful, and nothing comes back. The staircase joins those that no other method
beats in both. Marks carry numbers, and the legend beside them the names, so that thirty methods stay readable; a hollow
mark is a method that was released over its utility budget.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expunge.report.shapes import Interval, Study
from expunge.report.spent import over
from expunge.report.text import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LIMIT = 0.10
MARKS = "osD^vPX*<>"


@dataclass(frozen=True, slots=True)
class Spot:
    """One method of one world; ``group`` numbers the study and world it belongs to, ``over``: it left its budget."""

    name: str
    group: int
    utility: float
    excess: Interval
    over: bool = False


def spots(studies: Sequence[Study]) -> list[Spot]:
    """The methods that have both numbers, in table order."""
    worlds = [(study, world) for study in studies for world in study.worlds]
    several = len(worlds) > 1
    return [
        Spot(
            f"{world.label}: {method.label}" if several else method.label,
            group,
            method.utility_before,
            method.e_star,
            method.label in beyond,
        )
        for group, (_, world) in enumerate(worlds)
        for beyond in [over(world)]
        for method in world.methods
        if method.utility_before is not None and method.e_star is not None
    ]


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the points that none beats: no other has at least the utility and at most the excess, one strictly."""

    def beaten(one: tuple[float, float]) -> bool:
        return any(u >= one[0] and e <= one[1] and (u, e) != one for u, e in points)

    return [index for index, point in enumerate(points) if not beaten(point)]


def draw(studies: Sequence[Study], path: Path) -> None:
    """Write the picture to ``path`` (``.svg``, ``.png`` or ``.pdf``)."""
    from matplotlib.figure import Figure

    found = spots(studies)
    figure = Figure(figsize=(9.5, 5.2), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel("Utility before the attack (original = 1)")
    axes.set_ylabel("Worst-case excess recovery (0 = control, 1 = original)")
    axes.axhline(LIMIT, color="0.5", linewidth=1, linestyle=(0, (4, 3)))
    axes.grid(color="0.92")
    axes.set_axisbelow(True)
    _marks(axes, found)
    _staircase(axes, found)
    axes.set_xlim(0, 1.04)
    _legend(figure, axes, found)
    figure.savefig(path, dpi=160, metadata={"Date": None} if path.suffix == ".svg" else None)


def _marks(axes: "Axes", found: Sequence[Spot]) -> None:
    for number, spot in enumerate(found, start=1):
        low, high = spot.excess.value - spot.excess.low, spot.excess.high - spot.excess.value
        axes.errorbar(
            spot.utility, spot.excess.value, yerr=[[max(0.0, low)], [max(0.0, high)]], color=_mark(spot)["color"],
            alpha=0.35, linewidth=1, zorder=1,
        )  # fmt: skip
        axes.plot(spot.utility, spot.excess.value, zorder=3, **_mark(spot))
        axes.annotate(
            str(number), (spot.utility, spot.excess.value), xytext=(5, 4), textcoords="offset points", fontsize=8
        )


def _mark(spot: Spot) -> dict[str, Any]:
    """How a spot is drawn, in the picture and in its legend; hollow where it left its budget."""
    colour = f"C{spot.group % 10}"
    inside = "white" if spot.over else colour
    return {
        "linestyle": "none", "marker": MARKS[spot.group % len(MARKS)], "color": colour, "markerfacecolor": inside,
        "markersize": 6,
    }  # fmt: skip


def _staircase(axes: "Axes", found: Sequence[Spot]) -> None:
    best = sorted(
        (found[index].utility, found[index].excess.value)
        for index in front([(s.utility, s.excess.value) for s in found])
    )
    if len(best) > 1:
        axes.step(*zip(*best, strict=True), where="pre", color="0.35", linewidth=1, zorder=2)


def _legend(figure: "Figure", axes: "Axes", found: Sequence[Spot]) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], **_mark(spot)) for spot in found]
    names = [f"{number}  {_literal(spot.name)}" for number, spot in enumerate(found, start=1)]
    if any(spot.over for spot in found):
        hollow: dict[str, Any] = {"linestyle": "none", "marker": "o", "color": "0.4", "markerfacecolor": "white"}
        handles, names = [*handles, Line2D([], [], **hollow)], [*names, "hollow: over its utility budget"]
    columns = max(1, math.ceil(len(found) / 26))
    figure.legend(handles, names, loc="outside right upper", fontsize=8, frameon=False, ncols=columns)


def _literal(name: str) -> str:
    """A name that matplotlib takes as it stands, not as mathematics."""
    return visible(name).replace("$", r"\$")
