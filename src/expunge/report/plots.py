"""The recovery figures: every method beside the control, one small panel a method and attack.

x of a recovery panel: steps of the attack, 0 first, then by doubling; y: share of V answered, in per cent.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from expunge.report import svg
from expunge.report.axes import frame, mark_level
from expunge.report.shapes import Curve, World
from expunge.report.text import level, share

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DASHES = ("-", "--", ":", "-.")
MOST_TICKS = 8


@dataclass(frozen=True, slots=True)
class Panel:
    """One figure: a method (``colour`` numbers it) or the null row under one source and access."""

    label: str
    source: str
    access: str
    colour: int | None
    drawing: Markup


def rates(world: World) -> list[float]:
    """The learning rates of a world in ascending order; the n-th is drawn in the n-th dash of :data:`DASHES`."""
    return sorted({curve.lr for curve in world.curves})


def recovery(world: World, name: str) -> list[Panel]:
    """A panel for every method and for the null row under every source and access."""
    colours = {method.label: index for index, method in enumerate(world.methods)}
    panels: list[Panel] = []
    attacked = [c for role in ("method", "null") for c in world.curves if c.role == role]
    for key in dict.fromkeys((c.source, c.access, c.label) for c in attacked):
        source, access, label = key
        drawing = _panel(world, key, colours.get(label), f"{name}-r{len(panels)}")
        panels.append(Panel(label, source, access, colours.get(label), drawing))
    return panels


def _panel(world: World, key: tuple[str, str, str], colour: int | None, name: str) -> Markup:
    import matplotlib

    source, access, label = key
    beside = [c for c in world.curves if (c.source, c.access) == (source, access)]
    control = [c for c in beside if c.role in {"control", "placebo"}]
    own = [c for c in beside if c.label == label and c.role not in {"control", "placebo"}]
    worst = next((method.worst_points for method in world.methods if method.label == label), ())
    with matplotlib.rc_context(svg.RC):
        figure, axes = frame("Attack steps", "Share of V answered (%)")
        mark_level(axes, world.original, svg.TEXT, (1, 3))
        if not control:
            mark_level(axes, world.control.after, svg.CONTROL, (4, 2))
        for curve in control:
            _draw(axes, curve, world, svg.CONTROL, "s", world.control.worst_points)
        ink = svg.TEXT if colour is None else svg.method_ink(colour)
        for curve in own:
            _draw(axes, curve, world, ink, "D", worst)
        _scale(axes, [*own, *control])
        return svg.inline(figure, name, _alt(world, label, [*own, *control]))


def place(step: int) -> float:
    """Where a step budget stands on the axis: 0 at 0, then one unit for 1 and for every doubling."""
    return 0.0 if step == 0 else 1.0 + math.log2(step)


def _draw(axes: "Axes", curve: Curve, world: World, ink: str, marker: str, worst: Sequence[str]) -> None:
    x = [place(step) for step in curve.steps]
    dash = DASHES[rates(world).index(curve.lr) % len(DASHES)]
    low, high = [100 * end.low for end in curve.share], [100 * end.high for end in curve.share]
    y = [100 * end.value for end in curve.share]
    axes.fill_between(x, low, high, color=ink, alpha=0.14, linewidth=0)
    axes.plot(x, y, color=ink, linestyle=dash, linewidth=1.8, marker="o", markersize=2.5, clip_on=False)
    chosen = [index for index, point in enumerate(curve.point_ids()) if point in worst]
    axes.plot(
        [x[index] for index in chosen],
        [y[index] for index in chosen],
        linestyle="none",
        marker=marker,
        markersize=8,
        markerfacecolor=svg.PAGE,
        markeredgecolor=ink,
        markeredgewidth=2,
        clip_on=False,
        zorder=5,
    )


def _scale(axes: "Axes", curves: Sequence[Curve]) -> None:
    steps = sorted({step for curve in curves for step in curve.steps})
    every = math.ceil(len(steps) / MOST_TICKS)
    shown = steps[::every]
    axes.set_xticks([place(step) for step in shown], [str(step) for step in shown])
    axes.set_ylim(0, 100)
    axes.set_yticks(range(0, 101, 25))


def _alt(world: World, label: str, curves: Sequence[Curve]) -> str:
    """The figure in words: every line with its values, then the level of the original."""
    lines = " ".join(_line(curve) for curve in curves)
    return f"Share of V answered after the attack on {label}. {lines} The original answered {level(world.original)}."


def _line(curve: Curve) -> str:
    values = ", ".join(f"{share(end.value)} after {step}" for step, end in zip(curve.steps, curve.share, strict=True))
    return f"{curve.label}, learning rate {curve.lr:g}: {values} steps."
