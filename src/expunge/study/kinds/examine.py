"""The examine cell: every model of the pool audited by itself, in both control modes, beside its truth.

Config: that of the audit cell, and ``pool`` (label → truth, family, held_out, certificate). Inputs: all that the audit
reads, and the certificates as ``wW.rR.certify.LABEL``. Nothing is run again: without the control and the null row the
same trajectories are an audit with placebo controls. Writes ``examine.json``.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from expunge import registry
from expunge.audit.audit import audit
from expunge.audit.examine import examine
from expunge.audit.examine_pool import Judged, Member, Mode
from expunge.audit.types import Interval, Trajectories, World
from expunge.core.files import read_json, write_json
from expunge.study import facts_io
from expunge.study.execute import Job
from expunge.study.record import Outcome
from expunge.study.trajectories import trajectories_of

NOT_OF_THE_FACTS = ("divergences",)
"""Evidence about what must stay: a metric that needs it says nothing of what was to go."""
Plain = Mapping[str, Any]


def run(job: Job) -> Outcome:
    """Audit one world and replicate after another; the record counts the truths."""
    members = [
        member
        for w, world in enumerate(job.config["worlds"])
        for r, replicate in enumerate(world["replicates"])
        for member in _members(job, w, r, world, replicate)
    ]
    settings = {key: job.config[key] for key in ("epsilon", "resamples", "seed")}
    document = examine(members, **settings, not_measured=_not_measured(job, members))
    write_json(job.folder / "examine.json", document)
    counts = {name: scope["counts"] for name, scope in document["scopes"].items()}
    return Outcome(extra={"counts": counts, "claims": document["claims"]})


def _members(job: Job, w: int, r: int, world: Plain, replicate: Plain) -> Iterator[Member]:
    """The models of one drawn world, each judged as if it were the only one."""
    judged: dict[Mode, Mapping[str, Plain]] = {
        "retrained": _judged(job, r, replicate, controlled=True),
        "placebo": _judged(job, r, replicate, controlled=False),
    }
    for model in replicate["models"]:
        if model["role"] != "method":
            continue
        label, about = model["label"], job.config["pool"][model["label"]]
        entries = {mode: found[label] for mode, found in judged.items()}
        metrics, attacks = _metrics(job, model), _attacks(entries["retrained"])
        yield Member(
            world=f"{world['label']}, seed {world['seeds'][r]}",
            label=label,
            family=about["family"],
            claimed=about["truth"],
            held_out=about["held_out"],
            usability=entries["retrained"]["usability"],
            judged={mode: _verdict(entry) for mode, entry in entries.items()},
            numbers={**metrics, **attacks},
            kinds={**dict.fromkeys(metrics, "metric"), **dict.fromkeys(attacks, "attack")},
            **_certificate(job, f"w{w}.r{r}.certify.{label}", about),
        )


def _judged(job: Job, r: int, replicate: Plain, *, controlled: bool) -> dict[str, Plain]:
    """The audit's entry of every model by label; without ``controlled`` no model stands for one that never knew."""
    roles = ("original", "method", "control", "null") if controlled else ("original", "method")
    rows: list[Trajectories] = []
    for model in replicate["models"]:
        if model["role"] in roles:
            folders = {name: job.inputs[key] for name, key in model["measures"].items()}
            rows += trajectories_of(model["role"], model["label"], r, folders)
    labels = [model["label"] for model in replicate["models"] if model["role"] == "method"]
    hider = job.config["hider"] if job.config["hider"] in labels else None
    material = facts_io.read(job.inputs[replicate["knowledge"]])
    world = World(num_t_subjects=len({fact.subject for fact in material.split.train}), hider=hider)
    settings = {key: job.config[key] for key in ("epsilon", "resamples", "seed")}
    entry = audit(rows, world, **settings).entry
    return {method["label"]: method for method in entry["methods"]}


def _verdict(entry: Plain) -> Judged:
    ends = {name: None if entry[name] is None else Interval(**entry[name]) for name in ("e0", "e_star")}
    return Judged(entry["verdict"], ends["e0"], ends["e_star"], tuple(entry["reasons"]))


def _metrics(job: Job, model: Plain) -> dict[str, float]:
    """Every measured metric of the forget facts, turned so that more means that the model knows them."""
    record = read_json(job.inputs[model["measures"]["evaluate"]] / "record.json")
    known: dict[str, Any] = {entry.name: entry.factory for entry in registry.entries("metric")}
    return {
        name: reading["value"] if known[name].direction == "lower" else -reading["value"]
        for name, reading in record["metrics"].items()
        if name in known and reading["value"] is not None and not set(known[name].needs) & set(NOT_OF_THE_FACTS)
    }


def _not_measured(job: Job, members: Sequence[Member]) -> dict[str, str]:
    """Metrics of the forget facts that no model has a value of, and why."""
    measured = {name for member in members for name in member.numbers}
    first = next(model for model in job.config["worlds"][0]["replicates"][0]["models"] if model["role"] == "method")
    record = read_json(job.inputs[first["measures"]["evaluate"]] / "record.json")["metrics"]
    known: dict[str, Any] = {entry.name: entry.factory for entry in registry.entries("metric")}
    return {
        name: record.get(name, {}).get("reason") or "not asked for (eval.costly)."
        for name, metric in known.items()
        if name not in measured and not set(metric.needs) & set(NOT_OF_THE_FACTS)
    }


def _attacks(entry: Plain) -> dict[str, float]:
    """What each attack alone brings back: the share of V at its worst point, compared with nothing."""
    return {row["attack"]: row["after"]["value"] for row in entry["attacks"]}


def _certificate(job: Job, name: str, about: Plain) -> dict[str, Any]:
    """The certificate's finding, or why there is none."""
    if name not in job.inputs:
        return {}
    found = read_json(job.inputs[name] / "record.json")["metrics"]["restored"]
    return {"restored": found["value"], "certificate": about["certificate"], "uncertain": found.get("reason")}
