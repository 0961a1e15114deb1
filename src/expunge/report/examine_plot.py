"""The picture of an examined audit: AUC with interval of the audit and of every single number, best first."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expunge.report.examine_text import AUDIT, SCOPES, ranked, single
from expunge.report.node import Node
from expunge.report.text import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {"audit": "#1f4e9c", "metric": "#555555", "attack": "#b3541e"}
NAMES = {"audit": "the audit", "metric": "one metric alone", "attack": "one attack alone"}
OFFSETS = {"held_out": 0.14, "all": -0.14}
Line = tuple[str, str, Mapping[str, Mapping[str, Any]]]
"""Name, kind, and what was found by scope."""


def draw(root: Node, path: Path) -> None:
    """Write the picture to ``path``; one row a number, held-out models filled, all models hollow."""
    import matplotlib
    from matplotlib.figure import Figure

    lines = rows(root)
    with matplotlib.rc_context({"svg.hashsalt": "expunge", "font.size": 9}):
        figure = Figure(figsize=(8.5, 1.4 + 0.27 * len(lines)), layout="constrained")
        axes = figure.add_subplot()
        for place, line in enumerate(lines):
            _marks(axes, len(lines) - 1 - place, line)
        _frame(axes, [name for name, _, _ in lines])
        _legend(axes)
        figure.savefig(path, dpi=160, metadata={"Date": None} if path.suffix == ".svg" else None)


def rows(root: Node) -> list[Line]:
    """The audit in both modes, then the single numbers in the order of the table."""
    audits = [
        (title, "audit", {scope: root["scopes"][scope]["audit"][mode] for scope in SCOPES})
        for mode, title in AUDIT.items()
    ]
    singles = [(name, {scope: single(root, scope, name) for scope in SCOPES}) for name in ranked(root)]
    return [*audits, *((name, str(found["all"]["kind"]), found) for name, found in singles)]


def _marks(axes: "Axes", height: int, line: Line) -> None:
    _, kind, found = line
    for scope, offset in OFFSETS.items():
        if (value := found[scope]["auc"]) is None:
            continue
        y, filled = height + offset, scope == "held_out"
        axes.plot([value["low"], value["high"]], [y, y], color=COLOURS[kind], linewidth=1.4, alpha=1 if filled else 0.5)
        face = COLOURS[kind] if filled else "white"
        axes.plot(value["value"], y, "o", markersize=5, color=COLOURS[kind], markerfacecolor=face, clip_on=False)


def _frame(axes: "Axes", names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), [visible(name).replace("$", r"\$") for name in reversed(names)])
    axes.set_ylim(-0.7, len(names) - 0.3)
    axes.set_xlim(0, 1)
    axes.set_xlabel("AUC: a model that knows scores above one that never knew (0.5: a coin)")
    axes.axvline(0.5, color="0.6", linewidth=1, linestyle=(0, (4, 3)), zorder=0)
    axes.axhline(len(names) - 2.5, color="0.85", linewidth=1, zorder=0)
    axes.grid(axis="x", color="0.93")
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _legend(axes: "Axes") -> None:
    from matplotlib.lines import Line2D

    kinds = [Line2D([], [], color=COLOURS[kind], marker="o", markersize=5, label=name) for kind, name in NAMES.items()]
    marks = [
        Line2D([], [], color="0.3", marker="o", markersize=5, linestyle="none", markerfacecolor=face, label=label)
        for face, label in (("0.3", "held-out models"), ("white", "all models"))
    ]
    axes.figure.legend(handles=[*kinds, *marks], loc="outside upper left", ncols=5, frameon=False, fontsize=8)
