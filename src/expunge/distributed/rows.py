"""Which rows a rank computes: each ``size``-th row of every stream, so that forget and retain rows stay paired.

All ranks run the same passes, since each pass gathers weights. Where a stream has no row left for some rank, that rank
computes the stream's first row as a filler, whose terms then get the weight 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from expunge.distributed.ranks import Ranks
from expunge.models.rows import Row

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Share:
    """One forward pass of a rank. ``idle`` streams hold a filler here, ``blind`` ones do so on some rank."""

    rows: dict[str, list[Row]]
    idle: frozenset[str] = frozenset()
    blind: frozenset[str] = frozenset()


def shares(rows: Mapping[str, Sequence[Row]], micro_batch: int | None, ranks: Ranks) -> list[Share]:
    """This rank's passes of one step, at most ``micro_batch`` rows of a stream in each; as many on every rank."""
    dealt = [{name: list(stream[rank :: ranks.size]) for name, stream in rows.items()} for rank in range(ranks.size)]
    longest = max(len(stream) for stream in dealt[0].values())
    size = micro_batch or longest
    return [_share(rows, dealt, slice(at, at + size), ranks.rank) for at in range(0, longest, size)]


def _share(
    rows: Mapping[str, Sequence[Row]], dealt: Sequence[Mapping[str, list[Row]]], part: slice, rank: int
) -> Share:
    # Rank 0 has the most rows: a stream that it has none of in this pass is over for all.
    present = [name for name in rows if dealt[0][name][part]]
    blind = frozenset(name for name in present if any(not own[name][part] for own in dealt))
    own = {name: dealt[rank][name][part] for name in present}
    filled = {name: stream or [rows[name][0]] for name, stream in own.items()}
    return Share(filled, frozenset(name for name, stream in own.items() if not stream), blind)


def turns(items: Sequence[T], ranks: Ranks) -> list[tuple[T, bool]]:
    """This rank's items in turn, and whether each is its own; others only keep it in step with the other ranks."""
    own = [(item, True) for item in items[ranks.rank :: ranks.size]]
    missing = -(-len(items) // ranks.size) - len(own)
    return own + [(item, False) for item in items[:1]] * missing
