"""Requests to forget that came one after another: excess recovery and utility of every method over them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from expunge.report import svg
from expunge.report.axes import frame
from expunge.report.costs import Grid
from expunge.report.shapes import Interval, Method, Study, World
from expunge.report.text import NOTHING, number, ratio

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CAPTION = (
    "After each request, on all that was requested up to then: excess recovery at the worst point (95 % interval), "
    "utility before the attack (original = 1), and the verdict."
)
FIGURE = (
    "Solid, with the 95 % interval shaded: excess recovery at the worst point, on all that was requested up to then. "
    "Dashed: utility before the attack. Both are ratios; the original is 1."
)
LOWEST = -0.1


@dataclass(frozen=True, slots=True)
class Line:
    """One method over the requests; ``None`` where a number is missing."""

    label: str
    done: tuple[int, ...]
    excess: tuple[Interval | None, ...]
    utility: tuple[float | None, ...]
    verdicts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Requests:
    """A world that was forgotten in ``of`` requests, and its methods in the order of the report."""

    world: str
    of: int
    lines: tuple[Line, ...]

    def table(self, say: Callable[[str], str] = str) -> Grid:
        """A row a method, a column a request. Foreign text goes through ``say``."""
        done = sorted({number for line in self.lines for number in line.done})
        heads = ("Method", *(f"After {number} of {self.of}" for number in done))
        rows = ((say(line.label), *(_cell(line, number, say) for number in done)) for line in self.lines)
        return Grid(heads, tuple(rows))


def sequences(study: Study) -> list[Requests]:
    """The worlds that were forgotten in several requests; empty for other studies."""
    found: dict[str, list[World]] = {}
    for world in study.worlds:
        if world.stage is not None:
            found.setdefault(world.stage.world, []).append(world)
    return [_requests(name, worlds) for name, worlds in found.items()]


def _requests(name: str, worlds: Sequence[World]) -> Requests:
    stages = [(world.stage, world) for world in worlds if world.stage is not None]
    found: dict[str, list[tuple[int, Method]]] = {}
    for stage, world in stages:
        for method in world.methods:
            found.setdefault(stage.methods.get(method.label, method.label), []).append((stage.done, method))
    return Requests(
        name, max(stage.of for stage, _ in stages), tuple(_line(label, one) for label, one in found.items())
    )


def _line(label: str, rows: Sequence[tuple[int, Method]]) -> Line:
    methods = [method for _, method in rows]
    return Line(
        label=label,
        done=tuple(done for done, _ in rows),
        excess=tuple(method.e_star for method in methods),
        utility=tuple(method.utility_before for method in methods),
        verdicts=tuple(method.verdict for method in methods),
    )


def _cell(line: Line, done: int, say: Callable[[str], str]) -> str:
    if done not in line.done:
        return NOTHING
    at = line.done.index(done)
    numbers = (number(line.excess[at], "ratio"), number(line.utility[at], "ratio"))
    return f"E {numbers[0]}; utility {numbers[1]}; {say(line.verdicts[at])}"


def drawing(found: Requests, name: str) -> Markup:
    """Excess recovery (solid) and utility (dashed) over the number of requests answered."""
    import matplotlib

    with matplotlib.rc_context(svg.RC):
        figure, axes = frame("Requests unlearned", "Ratio (original = 1)")
        for index, line in enumerate(found.lines):
            _draw(axes, line, svg.method_ink(index))
        axes.set_xticks(range(1, found.of + 1))
        axes.set_xlim(0.9, found.of + 0.1)
        axes.set_ylim(LOWEST, 1.1)
        return svg.inline(figure, name, f"After each request: {' '.join(_said(line) for line in found.lines)}")


def _draw(axes: "Axes", line: Line, ink: str) -> None:
    known = [(done, end) for done, end in zip(line.done, line.excess, strict=True) if end is not None]
    x = [done for done, _ in known]
    axes.fill_between(x, [end.low for _, end in known], [end.high for _, end in known], color=ink, alpha=0.14, lw=0)
    axes.plot(x, [end.value for _, end in known], color=ink, linewidth=1.8, marker="o", markersize=4)
    kept = [(done, value) for done, value in zip(line.done, line.utility, strict=True) if value is not None]
    axes.plot(
        [done for done, _ in kept],
        [value for _, value in kept],
        color=ink,
        linewidth=1.4,
        linestyle="--",
        marker="s",
        markersize=4,
        markerfacecolor=svg.PAGE,
    )


def _said(line: Line) -> str:
    """One method in words."""
    return f"{line.label}: {', '.join(_points(line))}."


def _points(line: Line) -> Iterator[str]:
    for done, excess, utility in zip(line.done, line.excess, line.utility, strict=True):
        recovery = NOTHING if excess is None else ratio(excess.value)
        yield f"excess recovery {recovery} and utility {number(utility, 'ratio')} after {done}"
