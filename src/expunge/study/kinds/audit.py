"""The audit cell: trajectories from every attack cell, audited world by world; writes ``audit.json``.

Config: ``epsilon``, ``resamples``, ``hider``, ``seed``, ``attacks`` (the recipe's), ``worlds`` (labels, and the
names of the inputs that hold each model's measurements; ``sequence`` of a world after one of several requests);
``baseline`` where a recipe names one; ``not_tested`` (further sentences) where models are given; ``over_replicates``
(metrics that compare the models of several replicates) where a recipe asks for some.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from expunge.audit.audit import assemble, audit
from expunge.audit.types import Trajectories, World
from expunge.core.files import read_json, write_json
from expunge.knowledge.facts import Fact
from expunge.study import facts_io, over_replicates
from expunge.study.execute import Job
from expunge.study.facts_io import Material
from expunge.study.groups import groups_of
from expunge.study.omissions import not_tested
from expunge.study.record import Outcome
from expunge.study.recovered import recovered
from expunge.study.released import baseline_of
from expunge.study.trajectories import trajectories_of

EXAMPLES = 5
SAID = ("attribute", "request", "verdict")
"""What the record says of a group; the rest is in audit.json."""
LONGEST = 160


def run(job: Job) -> Outcome:
    """Audit every world; the record's metrics are the verdicts."""
    settings = {key: job.config[key] for key in ("epsilon", "resamples")}
    results = [
        audit(
            _trajectories(job, world),
            _world(job, world),
            seed=job.config["seed"],
            groups=groups_of(job.inputs, world, _materials(job, world)),
            **settings,
        )
        for world in job.config["worlds"]
    ]
    document = assemble(results, **settings)
    for world, entry in zip(job.config["worlds"], document["worlds"], strict=True):
        for method in entry["methods"]:
            method["recovered"] = recovered(job.inputs, world, method)
        if "sequence" in world:
            entry["sequence"] = world["sequence"]
        if "over_replicates" in job.config:
            entry["over_replicates"] = over_replicates.of_world(job.config["over_replicates"], job.inputs, world)
    write_json(job.folder / "audit.json", document)
    verdicts = {entry["label"]: {m["label"]: m["verdict"] for m in entry["methods"]} for entry in document["worlds"]}
    return Outcome(extra={"verdicts": verdicts, **_groups(document), **_over_replicates(document)})


def _over_replicates(document: Mapping[str, Any]) -> dict[str, Any]:
    """What was read over replicates, for the record, where it was asked for."""
    key = "over_replicates"
    found = {entry["label"]: entry[key] for entry in document["worlds"] if key in entry}
    return {key: found} if found else {}


def _groups(document: Mapping[str, Any]) -> dict[str, Any]:
    """The verdicts of groups for the record, where there are some."""
    found = {
        entry["label"]: {
            method["label"]: [{key: value for key, value in group.items() if key in SAID} for group in method["groups"]]
            for method in entry["methods"]
        }
        for entry in document["worlds"]
        if all("groups" in method for method in entry["methods"])
    }
    return {"groups": found} if found else {}


def _trajectories(job: Job, world: Mapping[str, Any]) -> list[Trajectories]:
    """Every model of every replicate under the grid."""
    found: list[Trajectories] = []
    for number, replicate in enumerate(world["replicates"]):
        for model in replicate["models"]:
            folders = {name: job.inputs[key] for name, key in model["measures"].items()}
            found += trajectories_of(model["role"], model["label"], number, folders)
    return found


def _materials(job: Job, world: Mapping[str, Any]) -> list[Material]:
    """The facts of every replicate."""
    return [facts_io.read(job.inputs[replicate["knowledge"]]) for replicate in world["replicates"]]


def _hider(job: Job, world: Mapping[str, Any], labels: Sequence[str]) -> str | None:
    """The label of the known hider in this world, where it is there; after a request it has another than its own."""
    own = world.get("sequence", {}).get("methods", {})
    return next((label for label in labels if own.get(label, label) == job.config["hider"]), None)


def _baselines(job: Job, world: Mapping[str, Any], labels: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Every method with the one it is put beside, where the recipe names a baseline; after a request, the baseline's
    own model after it."""
    named, own = job.config.get("baseline"), world.get("sequence", {}).get("methods", {})
    here = {own.get(label, label): label for label in labels}
    for name, label in here.items():
        base = baseline_of(name, named, here) if named is not None else None
        if base is not None and base != name:
            yield label, here[base]


def _world(job: Job, world: Mapping[str, Any]) -> World:
    """What the audit passes through to its record."""
    materials = _materials(job, world)
    first = materials[0]
    labels = [model["label"] for model in world["replicates"][0]["models"] if model["role"] == "method"]
    return World(
        label=world["label"],
        knowledge=_named(world["knowledge"]),
        seeds=tuple(world["seeds"]),
        num_t_subjects=sum(len({fact.subject for fact in one.split.train}) for one in materials),
        to_forget=tuple(_example(fact) for fact in _few(first)),
        leaks=sum(len(material.split.leaks) for material in materials),
        not_tested=(*job.config.get("not_tested", ()), *not_tested(job.config["attacks"], world, materials)),
        hider=_hider(job, world, labels),
        baselines=dict(_baselines(job, world, labels)),
        forget_metrics={label: _metrics(job, world, label) for label in labels},
        utility_known=_has_original(world) and _utility_measured(job, world),
        in_text=world.get("in_text", False),
    )


def _has_original(world: Mapping[str, Any]) -> bool:
    """Whether some model is the original; without it a model's utility would be measured against itself."""
    return any(model["role"] == "original" for replicate in world["replicates"] for model in replicate["models"])


def _utility_measured(job: Job, world: Mapping[str, Any]) -> bool:
    """In text alone utility is known only where there are retain facts that the original answers."""
    records = (
        read_json(job.inputs[model["measures"]["evaluate"]] / "record.json")
        for replicate in world["replicates"]
        for model in replicate["models"]
        if model["role"] == "method"
    )
    return not world.get("in_text") or all(record["metrics"]["utility"]["value"] is not None for record in records)


def _named(knowledge: Mapping[str, Any]) -> str:
    """The world in one line: its benchmark, then its parameters."""
    rest = ", ".join(f"{key}={value}" for key, value in knowledge.items() if key not in ("name", "label"))
    return f"{knowledge['name']} ({rest})"


def _few(material: Material) -> Sequence[Fact]:
    """A few facts, each about another subject where there are enough."""
    by_subject = {fact.subject: fact for fact in reversed(material.knowledge.forget)}
    return list(by_subject.values())[::-1][:EXAMPLES]


def _example(fact: Fact) -> str:
    """A fact as a reader sees it."""
    probe = fact.probes[0]
    text = f"{probe.prompt} → {probe.answer}" if probe.prompt else probe.answer
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _metrics(job: Job, world: Mapping[str, Any], label: str) -> dict[str, Any]:
    """Each metric's mean over replicates, with the outermost ends of their intervals where it has any."""
    readings: dict[str, list[Mapping[str, Any]]] = {}
    for name, reading in _readings(job, world, label):
        readings.setdefault(name, []).append(reading)
    return {
        name: {
            "value": sum(item["value"] for item in items) / len(items),
            "low": _outermost(min, [item["low"] for item in items]),
            "high": _outermost(max, [item["high"] for item in items]),
        }
        for name, items in readings.items()
    }


def _outermost(choose: Callable[[list[float]], float], ends: Sequence[float | None]) -> float | None:
    known = [end for end in ends if end is not None]
    return choose(known) if len(known) == len(ends) else None


def _readings(job: Job, world: Mapping[str, Any], label: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The method's measured metrics, replicate by replicate."""
    for replicate in world["replicates"]:
        for model in replicate["models"]:
            if (model["role"], model["label"]) == ("method", label):
                record = read_json(job.inputs[model["measures"]["evaluate"]] / "record.json")
                own = () if _has_original(world) else ("utility",)
                measured = ((name, item) for name, item in record["metrics"].items() if item["value"] is not None)
                yield from ((name, item) for name, item in measured if name not in own)
