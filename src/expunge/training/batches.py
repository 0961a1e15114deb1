"""Which rows make up a step: a pure function of (seed, stream, step), length-grouped.

The anchor is the first stream an objective needs; an epoch is one pass over it. Every other stream is cycled with its
own shuffles, except one with exactly the anchor's keys, which follows the anchor row by row.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from expunge.core.errors import InputError
from expunge.core.seeds import derive
from expunge.models.rows import Batch, Row

# Rows of this many batches are sorted by length together: padding shrinks, and batches still differ every epoch.
GROUPED_BATCHES = 8


class AbsentStream(KeyError):
    """A micro-batch holds no row of this stream."""


class MicroBatch(dict[str, Batch]):
    """The streams of one forward pass. Asking for a stream with no row in it raises :class:`AbsentStream`.

    On several ranks, ``idle`` are the streams whose only row here is a filler, and ``blind`` those that have a filler
    on some rank.
    """

    idle: frozenset[str] = frozenset()
    blind: frozenset[str] = frozenset()

    def without(self, stream: str) -> "MicroBatch":
        """The other streams."""
        return MicroBatch({name: batch for name, batch in self.items() if name != stream})

    def __missing__(self, stream: str) -> Batch:
        """No row of ``stream`` fell in this micro-batch."""
        raise AbsentStream(stream)


def epoch_batches(rows: Sequence[Row], batch_size: int, seed: int) -> list[list[int]]:
    """Row indices of one epoch cut in batches, rows of like length together; the last cut may be smaller."""
    random_source = random.Random(seed)
    order = list(range(len(rows)))
    random_source.shuffle(order)
    window = batch_size * GROUPED_BATCHES
    groups = [sorted(order[at : at + window], key=lambda i: len(rows[i].ids)) for at in range(0, len(order), window)]
    batches = [group[at : at + batch_size] for group in groups for at in range(0, len(group), batch_size)]
    random_source.shuffle(batches)
    return batches


@dataclass(frozen=True)
class Plan:
    """The data order of a run. ``streams`` are those the objective needs, the anchor first."""

    streams: Mapping[str, Sequence[Row]]
    batch_size: int
    seed: int
    _epochs: dict[str, tuple[int, list[list[int]]]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse an empty stream."""
        for name, rows in self.streams.items():
            if not rows:
                raise InputError(f"stream {name!r} has no rows; add some or choose an objective that does not read it.")

    @property
    def anchor(self) -> str:
        """The stream whose passes are epochs."""
        return next(iter(self.streams))

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps in one pass over the anchor."""
        return self._batches_of(self.anchor)

    def rows(self, step: int) -> dict[str, list[Row]]:
        """The rows of each stream in step ``step`` (from 0)."""
        return {name: [rows[i] for i in self._indices(name, step)] for name, rows in self.streams.items()}

    def _batches_of(self, stream: str) -> int:
        return -(-len(self.streams[stream]) // self.batch_size)

    def _indices(self, stream: str, step: int) -> list[int]:
        leader = self.anchor if stream in self._followers else stream
        epoch, index = divmod(step, self._batches_of(leader))
        if self._epochs.get(leader, (-1, []))[0] != epoch:
            seed = derive(self.seed, "order", leader, epoch)
            self._epochs[leader] = epoch, epoch_batches(self.streams[leader], self.batch_size, seed)
        return self._epochs[leader][1][index]

    @cached_property
    def _followers(self) -> frozenset[str]:
        keys = [row.key for row in self.streams[self.anchor]]
        return frozenset(name for name, rows in self.streams.items() if [row.key for row in rows] == keys)


def micro_rows(rows: Mapping[str, Sequence[Row]], micro_batch: int | None) -> list[dict[str, list[Row]]]:
    """Cut a step's rows into forward passes of at most ``micro_batch`` rows a stream; a short stream ends early."""
    size = micro_batch or max(len(stream) for stream in rows.values())
    cuts = range(0, max(len(stream) for stream in rows.values()), size)
    return [{name: list(stream[at : at + size]) for name, stream in rows.items() if len(stream) > at} for at in cuts]


def by_length(rows: Sequence[Row], max_tokens: int = 1024) -> list[list[Row]]:
    """Batches for measuring: sorted by length, each at most ``max_tokens`` padded tokens (or one row)."""
    batches: list[list[Row]] = []
    for row in sorted(rows, key=lambda row: len(row.ids)):
        if not batches or (len(batches[-1]) + 1) * len(row.ids) > max_tokens:
            batches.append([])
        batches[-1].append(row)
    return batches
