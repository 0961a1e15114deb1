"""Placebo subjects for an audit: whether some are drawn from the user's facts, and why not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from expunge.core.errors import InputError

if TYPE_CHECKING:
    from expunge.knowledge.facts import Fact


@dataclass(frozen=True, slots=True)
class Placebos:
    """What the world is told, and sentences on what was left out."""

    params: Mapping[str, int | str]
    left_out: tuple[str, ...] = ()


def placebos(
    asked: int | None, given: Mapping[str, Any], forget: "Sequence[Fact]", retain: "Sequence[Fact]", seed: int
) -> Placebos:
    """``asked`` placebo subjects; by default as many as can be drawn, where the verdict may turn on them.

    Without a control they are the control, and a verdict ``forgotten`` also needs the learning speed that they show.
    With one control there is no null row, so nothing is acquitted anyway. Raises :class:`InputError` where subjects
    that were asked for cannot be drawn, or would not be used.
    """
    from expunge.knowledge.placebo import ALL, placebo_facts
    from expunge.knowledge.splits import split_by_subject

    idle = _idle(given)
    if asked and idle:
        raise InputError(f"placebo subjects are of no use here: {idle}; leave them out.")
    if asked == 0 or idle or (asked is None and "control" in given and "null" not in given):
        return Placebos({})
    try:
        split_by_subject(placebo_facts(forget, retain, asked or ALL, seed), seed=seed)
    except InputError as error:
        if asked:
            raise
        return Placebos({}, (f"placebo subjects: {error}",))
    return Placebos({"placebo": asked or ALL})


def _idle(given: Mapping[str, Any]) -> str | None:
    """Why placebo subjects would say nothing, if so."""
    from expunge.models.endpoint import is_address

    if any(map(is_address, given["candidates"].values())):
        return "a candidate behind an endpoint is only asked, and they must be taught"
    return "without the original only absolute recovery is told" if given["original"] is None else None
