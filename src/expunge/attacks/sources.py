"""What a relearning attacker trains on: its data sources by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from expunge.core.errors import InputError
from expunge.knowledge.facts import Fact, Knowledge, Split
from expunge.knowledge.overlap import Overlap, overlap
from expunge.registry import suggestion

SWITCH = ">"
"""``retain>qa``: first the one source, then the other."""


@dataclass(frozen=True, slots=True)
class Source:
    """Facts with exactly the probes that are trained on; ``from_T`` says whether they are T's own.

    ``first`` is trained on before them. ``checked`` says, for every source that takes part, what its rows tell of V.
    """

    facts: tuple[Fact, ...]
    from_T: bool
    first: tuple[Fact, ...] = ()
    checked: Mapping[str, tuple[Overlap, bool]] | None = None


Find = Callable[[Knowledge, Split], Source]


def _form(name: str) -> Find:
    def facts(knowledge: Knowledge, split: Split) -> Source:
        asked = ((fact, fact.of_form(name)) for fact in split.train)
        return Source(tuple(replace(fact, probes=probes) for fact, probes in asked if probes), True)

    return facts


def _stream(name: str) -> Find:
    return lambda knowledge, split: Source(tuple(knowledge.streams.get(name, ())), False)


def _as_questions(facts: tuple[Fact, ...]) -> tuple[Fact, ...]:
    """Every fact as a question where it has one, else with all that it has."""
    return tuple(replace(fact, probes=fact.of_form("qa") or fact.probes) for fact in facts)


OF_T: Mapping[str, Find] = {
    "qa": _form("qa"),
    "prose": _form("prose"),
    "prefixes": lambda knowledge, split: Source(split.train, True),
    "rows": lambda knowledge, split: Source(_as_questions(split.train), True),
}
"""The sources that show T's own facts."""
SOURCES: Mapping[str, Find] = {
    **OF_T,
    "retain": lambda knowledge, split: Source(_as_questions(knowledge.retain_train), False),
    "same_kind": _stream("same_kind"),
    "background": _stream("background"),
    "unrelated": _stream("unrelated"),
}
"""``qa`` and ``prose``: T's facts in that form; ``prefixes``: T's texts as they are; ``rows``: T's questions, and the
texts of what has none; ``retain``: the retain facts that the unlearner saw; the others: knowledge streams, of which
``background`` are public texts on the topic that is to be forgotten."""


def source(name: str, knowledge: Knowledge, split: Split, *, strict: bool = False) -> Source:
    """The named source; any further stream of ``knowledge`` may be named too, and two of them as ``first>then``.

    What is not T's own must not tell V's answers: such rows are dropped, and with ``strict`` T's as well.
    :class:`InputError` when a source is unknown or empty, when nothing is left of it, or when it teaches a subject
    that V is asked about (``background`` may speak of them: its texts are checked instead).
    """
    first, switch, last = name.rpartition(SWITCH)
    found = _checked(last, knowledge, split, strict)
    if not switch:
        return found
    earlier = source(first, knowledge, split, strict=strict)
    both = {**(earlier.checked or {}), **(found.checked or {})}
    return replace(found, first=(*earlier.first, *earlier.facts), checked=both)


def _checked(name: str, knowledge: Knowledge, split: Split, strict: bool) -> Source:
    """One source without the rows that tell V's answers."""
    if name not in SOURCES and name not in knowledge.streams:
        raise InputError(f"unknown attack source {name!r}; {suggestion(name, {*SOURCES, *knowledge.streams})}")
    found = SOURCES.get(name, _stream(name))(knowledge, split)
    if not found.facts:
        raise InputError(f"attack source {name!r} has no text here: {_why_empty(name)}.")
    _refuse_overlap(name, found, split)
    told, dropping = overlap(found.facts, split.score), strict or not found.from_T
    if dropping and not told.kept:
        raise InputError(
            f"every row of attack source {name!r} tells an answer of V and would teach what is measured; use another."
        )
    return replace(found, facts=told.kept if dropping else found.facts, checked={name: (told, dropping)})


def _why_empty(name: str) -> str:
    if name in ("qa", "prose"):
        return f"no T fact has a probe of form {name!r}; give such probes or use source 'prefixes'"
    if name == "retain":
        return "there are no retain facts"
    return "the T side is empty" if name in ("prefixes", "rows") else f"the knowledge has no stream {name!r}"


def _refuse_overlap(name: str, found: Source, split: Split) -> None:
    own = () if name == "background" else found.facts
    shared = {fact.subject for fact in (*own, *split.train)} & {fact.subject for fact in split.score}
    if shared:
        raise InputError(
            f"attack source {name!r} and V share the subject {min(shared)!r}; split by subject, so that V measures "
            "recovery and not what the attacker was taught."
        )
