"""The builder contract: from knowledge, and sometimes a model, to streams of facts."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

from expunge.core.errors import InputError
from expunge.knowledge.facts import Fact, Probe
from expunge.models.loaded import LoadedModel

Facts = tuple[Fact, ...]


@dataclass(frozen=True, kw_only=True)
class Material:
    """What a builder may use: θ₀, what the unlearner may see, and a seed.

    ``extra`` are further streams that the knowledge brings, such as ``unrelated``. ``forms`` are the surfaces of the
    forget facts that the unlearner trains on (``None``: all), ``retain_forms`` those of the retain facts.
    """

    loaded: LoadedModel
    forget: Facts
    retain: Facts = ()
    extra: Mapping[str, Facts] = field(default_factory=dict)
    forms: tuple[str, ...] | None = None
    retain_forms: tuple[str, ...] | None = None
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Builder:
    """Base of all builders; sub-classes are frozen dataclasses whose fields are the hyper-parameters."""

    paper: ClassVar[str] = ""
    provides: ClassVar[tuple[str, ...]]
    """The streams that :meth:`build` makes."""

    def build(self, material: Material) -> dict[str, Facts]:
        """Facts by stream. A stream that answers the forget set row by row keeps its ids, forms and order."""
        raise NotImplementedError


def documents(texts: Iterable[str], name: str) -> Facts:
    """Each text as a document and a subject of its own, ``<name>-<number>``."""
    keys = ((f"{name}-{number}", text) for number, text in enumerate(texts))
    return tuple(Fact(key, key, (Probe("", text, "passage"),)) for key, text in keys)


def answered(fact: Fact, answers: Mapping[Probe, str]) -> Fact:
    """``fact`` with other answers; same id and forms, so that its rows go with the original's row by row.

    Raises :class:`InputError` for a document: what has no prompt cannot be answered otherwise.
    """
    if any(probe.prompt == "" for probe in fact.probes):
        raise InputError(f"fact {fact.id!r} is a text without a prompt; other answers need questions or continuations.")
    return replace(fact, probes=tuple(replace(probe, answer=answers[probe]) for probe in fact.probes))
