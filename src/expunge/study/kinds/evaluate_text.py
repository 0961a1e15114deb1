"""Evaluate cells of models seen in text alone: what they write to the forget facts and to R_eval.

Config: ``original`` (whether this is the original), ``eval`` (sizes), ``seed``, and the ``judge`` where a recipe names
one. Inputs: ``knowledge``, ``model``, and for others than the original ``original`` (its cell of this kind). Metrics:
``containment``, ``empty`` (share of empty answers), ``judged`` where there is a judge, ``retain_eval.containment``, and
``utility``: of its three parts only the ratio of written answers to R_eval shows in text, so it is that, and not
computed without the original or retain facts that it answers.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from expunge.core.files import read_json
from expunge.knowledge.facts import Fact
from expunge.metrics.base import Reading
from expunge.scoring.by_text import in_text
from expunge.scoring.probes import ask
from expunge.study import facts_io
from expunge.study.base_model import opened
from expunge.study.execute import Job
from expunge.study.heard import Heard, judged, read_plainly, share
from expunge.study.kinds.evaluate import FORMS, asked_facts
from expunge.study.record import Outcome

KEPT = "retain_eval.containment"


def run(job: Job) -> Outcome:
    """Ask an even choice of the facts of each set, and count."""
    material, loaded = facts_io.read(job.inputs["knowledge"]), in_text(opened(job))
    sizes = job.config["eval"]
    forms = tuple(sizes["forms"] or FORMS)
    groups = {"forget": asked_facts(material.split), "retain_eval": material.knowledge.retain_eval}
    heard: dict[str, list[Heard]] = {
        name: read_plainly(loaded, ask(few(facts, sizes["generate"]), loaded.encoder, forms))
        for name, facts in groups.items()
        if facts
    }
    metrics = {"containment": share(heard["forget"], "hit"), "empty": share(heard["forget"], "empty")}
    if "judge" in job.config:
        metrics["judged"] = judged(job.config["judge"], heard["forget"])
    if "retain_eval" in heard:
        metrics[KEPT] = share(heard["retain_eval"], "hit")
    metrics["utility"] = _utility(job, metrics)
    samples = [item.sample(name) for name, items in heard.items() for item in items]
    return Outcome(metrics, samples, {"model": loaded.fingerprint})


def few(facts: Sequence[Fact], most: int) -> Sequence[Fact]:
    """An even choice of at most ``most`` facts, at least one."""
    return facts[:: max(1, -(-len(facts) // max(most, 1)))]


def _utility(job: Job, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The written-answer ratio, capped at 1; a number without an interval, as everywhere."""
    own = metrics.get(KEPT)
    if own is None:
        return Reading(None, reason="not computed: no retain facts were given.").as_dict()
    if not job.config["original"] and "original" not in job.inputs:
        return Reading(None, reason="not computed: the original model is not at hand.").as_dict()
    known = own if job.config["original"] else read_json(job.inputs["original"] / "record.json")["metrics"][KEPT]
    if not known["value"]:
        return Reading(None, reason="not computed: the original answers none of the retain questions.").as_dict()
    ratio = min(own["value"] / known["value"], 1.0)
    return Reading(ratio, ratio, ratio, 1).as_dict()
