"""One method beside another: the difference of their excess recoveries.

Two intervals side by side hide what the models of a replicate share: one world is easier to forget than the next for
every method. The difference is taken over the same replicates and the same resampled subjects, each method with its own
worst point, so that what they share cancels.
"""

from expunge.audit.excess import lead
from expunge.audit.table import Rows, Table
from expunge.audit.types import Interval


def beside(table: Table, rows: Rows, other: Rows, control: Rows, original: Rows) -> Interval | None:
    """E of ``rows`` less E of ``other``; negative where less comes back.

    Both are measured against ``control``, which is the placebo of ``rows`` where placebos stand in. ``None`` where the
    four share no replicate, or S₀ - R_c is below 0.3.
    """
    replicates = sorted(set.intersection(*(set(part) for part in (rows, other, control, original))))
    if not replicates:
        return None
    model, baseline, never = (table.read(part, replicates, attacked=True) for part in (rows, other, control))
    source = table.read(original, replicates, attacked=False)
    return lead(model, baseline, never, source, table.sample(rows, replicates))
