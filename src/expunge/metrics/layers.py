"""What metrics share that look inside models: which probes they take, and which models can be laid side by side."""

from collections.abc import Sequence

from expunge.core.errors import InputError
from expunge.metrics.base import Evidence
from expunge.models.view import View
from expunge.scoring.probes import Asked


def evenly(items: Sequence[Asked], most: int) -> list[Asked]:
    """At most ``most`` of ``items``, evenly chosen."""
    return list(items[:: max(1, -(-len(items) // most))])


def questions(evidence: Evidence, most: int) -> list[Asked]:
    """At most ``most`` probes that ask something, evenly chosen; before a document nothing has been read yet."""
    return evenly([item for item in evidence.asked or () if item.probe.prompt], most)


def subjects_of(items: Sequence[Asked]) -> int:
    """Number of subjects."""
    return len({item.fact.subject for item in items})


def mean(values: Sequence[float | None]) -> float | None:
    """The mean of what is there; ``None`` where nothing is."""
    there = [value for value in values if value is not None]
    return sum(there) / len(there) if there else None


def same_depth(view: View, other: View, name: str) -> int:
    """Their number of blocks. Raises :class:`InputError` when it differs, as layers then have no counterpart."""
    own, others = view.anatomy.num_layers, other.anatomy.num_layers
    if own != others:
        raise InputError(f"the {name} model has {others} layers and this one {own}, so layers cannot be compared.")
    return own


def same_width(view: View, other: View, name: str) -> None:
    """Raise :class:`InputError` when hidden states differ in width."""
    own, others = (each.anatomy.config.hidden_size for each in (view, other))
    if own != others:
        raise InputError(f"the {name} model is {others} wide and this one {own}, so states cannot be exchanged.")
