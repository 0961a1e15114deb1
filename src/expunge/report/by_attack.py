"""Which attack brings back how much: the attacks of a world in rows, its methods in columns."""

from expunge.report.costs import Grid
from expunge.report.shapes import Method, World
from expunge.report.text import NOTHING, number

CAPTION = (
    "Every attack on its own, its worst point chosen among its own points: share of V answered (and excess recovery), "
    "with 95 % intervals. Attacks that train nothing appear here only. The last column is the control under the same "
    "attack; where every model has a placebo of its own, the one of which least came back."
)


def by_attack(world: World) -> Grid:
    """Rows in the order in which the first method's attacks are strong; empty where the audit holds no such table."""
    names = dict.fromkeys(row.attack for method in world.methods for row in method.attacks)
    heads = ("Attack", *(method.label for method in world.methods), "Control")
    rows = tuple((name, *(_cell(method, name) for method in world.methods), _control(world, name)) for name in names)
    return Grid(heads if rows else (), rows, ())


def _control(world: World, name: str) -> str:
    """What the control shows under this attack, the least where there are several."""
    rows = [row.control for method in world.methods for row in method.attacks if row.attack == name and row.control]
    return number(min(rows, key=lambda found: found.value), "share") if rows else NOTHING


def _cell(method: Method, name: str) -> str:
    found = next((row for row in method.attacks if row.attack == name), None)
    if found is None:
        return NOTHING
    excess = f"; E {number(found.e_star, 'ratio')}" if found.e_star is not None else ""
    return number(found.after, "share") + excess


def winner(method: Method) -> str:
    """A sentence on the attack that won."""
    if not method.attacks:
        return ""
    if method.winner is None:
        return "No attack brought back more than asking plainly did."
    return f"The attack {method.winner} brought back most, {100 * method.lead:.0f} % of V more than the next."
