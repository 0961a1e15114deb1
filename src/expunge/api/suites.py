"""Suites of attacks for ``expunge audit``: which attacks with which grids, and what they leave out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from expunge.core.errors import InputError

if TYPE_CHECKING:
    from expunge.knowledge.facts import Fact
    from expunge.models.endpoint import Endpoint

Grid = Mapping[str, Any]

SUITES: Mapping[str, Mapping[str, Grid]] = {
    "quick": {
        "relearn": {"rates": [1e-5, 1e-4], "steps": [4, 16]},
        "quantise": {"bits": [8, 4]},
        "rephrase": {"budgets": [1, 4]},
    },
    "standard": {
        "relearn": {"rates": [1e-5, 3e-5, 1e-4], "steps": [1, 2, 4, 8, 16, 32]},
        "unrelated_task": {"rates": [3e-5, 1e-4], "steps": [8, 32]},
        "quantise": {},
        "prune": {},
        "orthogonalise_blind": {},
        "rephrase": {},
        "few_shot": {},
        "in_context": {},
        "prefill": {},
        "sampling": {"budgets": [1, 4, 16]},
    },
    "full": {
        "relearn": {
            "rates": [1e-5, 3e-5, 1e-4, 3e-4],
            "steps": [1, 2, 4, 8, 16, 32, 64],
            "access": ["full", "balanced", "lora"],
        },
        "*": {},
    },
}
"""Attack → grid; an empty one is the attack's own default, ``*`` stands for every other registered attack.

The grids are our choice: ``standard`` has relearning as in the studies of this project, ``full`` goes three times as
high in rate and twice as far in steps, and through adapters too. An attack that is not registered is passed over.
"""

BY_TEXT: Mapping[str, Mapping[str, Grid]] = {
    "quick": {"rephrase": {"budgets": [1, 4]}, "few_shot": {"budgets": [1, 4]}},
    "standard": {
        "rephrase": {},
        "few_shot": {},
        "in_context": {},
        "prefill": {},
        "rwku_forms": {},
        "step_by_step": {},
        "sampling": {"budgets": [1, 4, 16], "temperatures": [1.0]},
    },
    "full": {"*": {}},
}
"""The suites of a candidate behind an endpoint, where every try is a request; the grids are our choice."""

TELLS = ("outputs", "logprobs")
"""Needs of attacks that ask questions."""


@dataclass(frozen=True, slots=True)
class Suite:
    """The attacks of an audit as a recipe lists them, and sentences on those that were left out."""

    attacks: tuple[Mapping[str, Any], ...]
    left_out: tuple[str, ...]


def chosen(suite: str, forget: "Sequence[Fact]") -> Suite:
    """The attacks of ``suite`` that these facts and models allow. Raises :class:`InputError` for an unknown suite."""
    from expunge import registry

    if suite not in SUITES:
        raise InputError(f"unknown suite {suite!r}; {registry.suggestion(suite, SUITES)}")
    asks = any(probe.prompt for fact in forget for probe in fact.probes)
    attacks: list[Mapping[str, Any]] = []
    left_out: list[str] = []
    grids = _grids(SUITES[suite], [entry.name for entry in registry.entries("attack")])
    for entry in registry.entries("attack"):
        needs: tuple[str, ...] = getattr(entry.factory, "needs", ())
        reason = _missing(needs, asks=asks, listed=entry.name in grids)
        if reason:
            left_out.append(f"the attack {entry.name}: {reason}")
        else:
            own = {"sources": _sources(forget)} if entry.name == "relearn" else {}
            attacks.append({"name": entry.name, **grids[entry.name], **own})
    return Suite(tuple(sorted(attacks, key=lambda attack: attack["name"] != "relearn")), tuple(left_out))


def asked(suite: str, forget: "Sequence[Fact]", endpoint: "Endpoint") -> Suite:
    """The attacks of ``suite`` that need no more than what the endpoint writes, and why the others are left out.

    Raises :class:`InputError` for an unknown suite, and where no fact asks anything.
    """
    from expunge import registry

    if suite not in BY_TEXT:
        raise InputError(f"unknown suite {suite!r}; {registry.suggestion(suite, BY_TEXT)}")
    if not any(probe.prompt for fact in forget for probe in fact.probes):
        raise InputError("the forget facts are texts, and an endpoint can only be asked; give questions with answers.")
    grids = _grids(BY_TEXT[suite], [entry.name for entry in registry.entries("attack")])
    attacks: list[Mapping[str, Any]] = []
    left_out: list[str] = []
    for entry in registry.entries("attack"):
        reason = _unheard(entry.factory, endpoint, listed=entry.name in grids)
        if reason:
            left_out.append(f"the attack {entry.name}: {reason}")
        else:
            attacks.append({"name": entry.name, **grids[entry.name]})
    return Suite(tuple(attacks), tuple(left_out))


def _unheard(attack: Any, endpoint: "Endpoint", *, listed: bool) -> str | None:
    """Why an attack is not run on an endpoint, if so."""
    if not attack.by_text or set(attack.needs) & {"weights", "original"}:
        return "it needs the weights or what stands in them, and the candidate is only asked"
    if attack.begins and not endpoint.prefills:
        return "the address does not say prefill=yes, so the server may not go on with a begun answer"
    return None if listed else "it is not in this suite"


def _grids(table: Mapping[str, Grid], names: Sequence[str]) -> Mapping[str, Grid]:
    rest = dict.fromkeys(names, table["*"]) if "*" in table else {}
    return {**rest, **{name: grid for name, grid in table.items() if name in names}}


def _missing(needs: Sequence[str], *, asks: bool, listed: bool) -> str | None:
    """Why an attack is not run, if so."""
    if not listed:
        return "it is not in this suite"
    if "original" in needs:
        return "its attacker holds the original itself, so what comes back need not have been in the candidate"
    if not asks and set(needs) & set(TELLS):
        return "it asks questions, and the forget facts are texts"
    return None


def _sources(forget: "Sequence[Fact]") -> list[str]:
    """What the attacker trains on: the forms that every cut will hold, texts as they are where nothing asks."""
    questions = any(fact.of_form("qa") for fact in forget)
    prose = sum(bool(fact.of_form("prose")) for fact in forget) > len(forget) / 2
    found = [name for name, there in (("qa", questions), ("prose", prose)) if there]
    return found or ["prefixes"]
