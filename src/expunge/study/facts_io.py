"""A whole :class:`Knowledge`, with its split, as one JSON file between cells."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from expunge.core.files import read_json, stable_hash, write_json
from expunge.knowledge.facts import Fact, Knowledge, Leak, Probe, Split

SETS = ("forget", "retain_train", "retain_eval", "placebo")


@dataclass(frozen=True, slots=True)
class Material:
    """What the cells of one replicate read: the world, its T/V cut, and the placebo facts' cut where there is one."""

    knowledge: Knowledge
    split: Split
    placebo: Split | None = None
    placebo_reason: str = ""


def write(folder: Path, material: Material) -> None:
    """Write ``knowledge.json`` into ``folder``."""
    write_json(folder / "knowledge.json", asdict(material))


def read(folder: Path) -> Material:
    """What :func:`write` wrote."""
    raw = read_json(folder / "knowledge.json")
    plain = raw["knowledge"]
    knowledge = Knowledge(
        name=plain["name"],
        **{name: facts_from(plain[name]) for name in SETS},
        streams={name: facts_from(rows) for name, rows in plain["streams"].items()},
        split=_split(plain["split"]),
        requests=tuple(map(tuple, plain.get("requests", ()))),
    )
    split = _split(raw["split"])
    assert split is not None
    return Material(knowledge, split, _split(raw["placebo"]), raw["placebo_reason"])


def facts_from(rows: Iterable[Mapping[str, Any]]) -> tuple[Fact, ...]:
    """Facts of their ``asdict`` form."""
    return tuple(Fact(**{**row, "probes": tuple(_probe(probe) for probe in row["probes"])}) for row in rows)


def fingerprint(facts: Iterable[Fact]) -> str:
    """SHA-256 over the facts in order."""
    return stable_hash([asdict(fact) for fact in facts])


def _probe(row: Mapping[str, Any]) -> Probe:
    return Probe(**{**row, "perturbed": tuple(row["perturbed"])})


def _split(raw: Mapping[str, Any] | None) -> Split | None:
    """A split of its ``asdict`` form."""
    if raw is None:
        return None
    leaks = tuple(Leak(leak["text"], tuple(leak["subjects"])) for leak in raw["leaks"])
    return Split(facts_from(raw["train"]), facts_from(raw["score"]), leaks)
