"""The groups of facts that a world is judged by beside its whole: requests, where there are some, else attributes."""

from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from expunge.audit.groups import Group
from expunge.audit.types import Trajectories
from expunge.core.errors import InputError
from expunge.knowledge.facts import Fact
from expunge.study import redact
from expunge.study.facts_io import Material
from expunge.study.trajectories import trajectories_of

MOST_GROUPS = 12
"""More attributes than this are not judged one by one (our choice: each would hold a handful of facts)."""
Plain = Mapping[str, Any]
Name = Mapping[str, str | int]


def groups_of(inputs: Mapping[str, Path], world: Plain, materials: Sequence[Material]) -> list[Group]:
    """Every group with the trajectories of all models on its facts; none where there are fewer than two."""
    names = _requests(world) if "sequence" in world else _attributes(materials)
    if not 2 <= len(names) <= MOST_GROUPS:
        return []
    return [_group(inputs, world, name, [_ids(material, name) for material in materials]) for name in names]


def _requests(world: Plain) -> list[Name]:
    """One group a request made up to now."""
    return [{"request": number} for number in range(1, world["sequence"]["done"] + 1)]


def _attributes(materials: Sequence[Material]) -> list[Name]:
    """The attributes that V has in every replicate, in the order of the facts; nameless facts make no group."""
    found = [dict.fromkeys(fact.attribute for fact in material.split.score) for material in materials]
    return [{"attribute": name} for name in found[0] if name and all(name in other for other in found)]


def _ids(material: Material, name: Name) -> Set[str]:
    """The facts that a group is judged on; the placebo facts of the same attribute stand beside it, or all."""
    placebo = () if material.placebo is None else (*material.placebo.score, *material.placebo.train)
    if "request" in name:
        asked = material.knowledge.requests[int(name["request"]) - 1]
        return {*asked, *(fact.id for fact in placebo)}
    facts: tuple[Fact, ...] = (*material.split.score, *placebo)
    return {fact.id for fact in facts if fact.attribute == name["attribute"]}


def _group(inputs: Mapping[str, Path], world: Plain, name: Name, ids: Sequence[Set[str]]) -> Group:
    """A group; where it is too small for two folds, the reason."""
    found: list[Trajectories] = []
    try:
        for number, replicate in enumerate(world["replicates"]):
            for model in replicate["models"]:
                folders = {key: inputs[cell] for key, cell in model["measures"].items()}
                only = _as_written(ids[number], inputs[replicate["knowledge"]])
                found += trajectories_of(model["role"], model["label"], number, folders, only)
    except InputError as error:
        return Group(name, fault=str(error))
    return Group(name, found)


def _as_written(ids: Set[str], cell: Path) -> Set[str]:
    """The ids as samples have them: hashes, where the study in which ``cell`` lies is redacted."""
    redactor = redact.of(cell.parent.parent)
    return ids if redactor is None else {*ids, *map(redactor.text, ids)}
