"""One model against its control: scores before and after the attack, excess recovery, where the worst points lie."""

from collections.abc import Sequence
from dataclasses import dataclass

from expunge.audit.bootstrap import Reading
from expunge.audit.excess import excess, no_excess, proportion
from expunge.audit.grid import edges
from expunge.audit.table import Rows, Table
from expunge.audit.types import Interval

NO_ORIGINAL = "without the original model only absolute recovery is known"


@dataclass(frozen=True, slots=True)
class Comparison:
    """``missing`` says why ``e0`` or ``e_star`` is absent; ``edges`` names the edges of the grid that b* lies on."""

    replicates: tuple[int, ...]
    num_subjects: int
    before: Interval
    after: Interval
    e0: Interval | None
    e_star: Interval | None
    missing: str | None
    attacked: Reading
    worst_points: tuple[str, ...]
    edges: tuple[str, ...]
    absent: tuple[int, ...]


def compare(table: Table, rows: Rows, control: Rows, original: Rows, *, missing: str | None = None) -> Comparison:
    """Compare over the replicates that all three have; ``absent`` lists those that only some have.

    An empty ``control`` or ``original`` leaves absolute recovery; ``missing`` is then the reason to give.
    """
    parts = [part for part in (rows, control, original) if part]
    replicates = tuple(sorted(set.intersection(*(set(part) for part in parts))))
    everywhere = {replicate for part in parts for replicate in part}
    if not replicates:
        replicates, control, missing = tuple(rows), {}, "model, control and original share no replicate"
    before, after = (table.read(rows, replicates, attacked=attacked) for attacked in (False, True))
    sample = table.sample(rows, replicates)
    e0 = e_star = None
    if not original:
        missing = NO_ORIGINAL
    elif control:
        source = table.read(original, replicates, attacked=False)
        start, end = (table.read(control, replicates, attacked=attacked) for attacked in (False, True))
        e0, e_star = excess(before, start, source, sample), excess(after, end, source, sample)
        missing = None if e0 and e_star else no_excess(start, source)
    return Comparison(
        replicates=replicates,
        num_subjects=sum(sample.sizes),
        before=proportion(before, sample),
        after=proportion(after, sample),
        e0=e0,
        e_star=e_star,
        missing=missing,
        attacked=after,
        worst_points=worst_points(rows, replicates, after),
        edges=_edges(rows, replicates, after),
        absent=tuple(sorted(everywhere - set(replicates))),
    )


def worst_points(rows: Rows, replicates: Sequence[int], reading: Reading) -> tuple[str, ...]:
    """Id of the worst point on all of V, by replicate; scores come from the fold-wise choices instead."""
    return tuple(rows[r].points[index] for r, index in zip(replicates, reading.worst_M.tolist(), strict=True))


def _edges(rows: Rows, replicates: Sequence[int], reading: Reading) -> tuple[str, ...]:
    found = {
        edge
        for replicate, pair in zip(replicates, reading.choices_M2.tolist(), strict=True)
        for index in pair
        for edge in edges(rows[replicate].points[index], rows[replicate].points)
    }
    return tuple(sorted(found, reverse=True))
