"""What a relearning attacker trains on: its data sources by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from expunge.core.errors import InputError
from expunge.knowledge.facts import Fact, Knowledge, Split
from expunge.registry import suggestion


@dataclass(frozen=True, slots=True)
class Source:
    """Facts with exactly the probes that are trained on; ``from_T`` says whether they are T's own."""

    facts: tuple[Fact, ...]
    from_T: bool


def _form(name: str) -> Callable[[Knowledge, Split], Source]:
    def facts(knowledge: Knowledge, split: Split) -> Source:
        asked = ((fact, fact.of_form(name)) for fact in split.train)
        return Source(tuple(replace(fact, probes=probes) for fact, probes in asked if probes), True)

    return facts


def _stream(name: str) -> Callable[[Knowledge, Split], Source]:
    return lambda knowledge, split: Source(tuple(knowledge.streams.get(name, ())), False)


SOURCES: Mapping[str, Callable[[Knowledge, Split], Source]] = {
    "qa": _form("qa"),
    "prose": _form("prose"),
    "prefixes": lambda knowledge, split: Source(split.train, True),
    "same_kind": _stream("same_kind"),
    "unrelated": _stream("unrelated"),
}
"""``qa`` and ``prose``: T's facts in that form; ``prefixes``: T's texts as they are; the others: knowledge streams."""


def source(name: str, knowledge: Knowledge, split: Split) -> Source:
    """The named source; any further stream of ``knowledge`` may be named too.

    :class:`InputError` when it is unknown or empty, or when it teaches a subject that V is asked about.
    """
    if name not in SOURCES and name not in knowledge.streams:
        raise InputError(f"unknown attack source {name!r}; {suggestion(name, {*SOURCES, *knowledge.streams})}")
    found = SOURCES.get(name, _stream(name))(knowledge, split)
    if not found.facts:
        raise InputError(f"attack source {name!r} has no text here: {_why_empty(name)}.")
    _refuse_overlap(name, found, split)
    return found


def _why_empty(name: str) -> str:
    if name in ("qa", "prose"):
        return f"no T fact has a probe of form {name!r}; give such probes or use source 'prefixes'"
    return "the T side is empty" if name == "prefixes" else f"the knowledge has no stream {name!r}"


def _refuse_overlap(name: str, found: Source, split: Split) -> None:
    shared = {fact.subject for fact in (*found.facts, *split.train)} & {fact.subject for fact in split.score}
    if shared:
        raise InputError(
            f"attack source {name!r} and V share the subject {min(shared)!r}; split by subject, so that V measures "
            "recovery and not what the attacker was taught."
        )
