"""Evaluate cells: every metric on the forget facts, utility, and what the model says (before any attack).

Config: ``original`` (whether this is the original: it then stores its samples and levels), ``model`` (key), ``eval``
(sizes), ``seed``, and what a recipe asks for by name (:mod:`expunge.study.asked`). Inputs: ``knowledge``,
``model``, for others than the original ``original`` (its evaluate cell) and ``original_model``, and ``control_model``
(of the original where there is a control, of others for costly metrics). Metrics: forget metrics under their own names,
``retain_eval.<name>`` on R_eval, a benchmark's own scores as ``<benchmark>.<score>``, general ones as
``general.<score>``, what a form gives away as ``form.<form>``, and ``utility``.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from expunge import registry
from expunge.benchmarks.base import Seen
from expunge.builders.samples import stored_samples
from expunge.core.errors import InputError
from expunge.core.seeds import derive
from expunge.knowledge.facts import Fact, Knowledge, Split
from expunge.metrics.base import Evidence, Metric, Need
from expunge.metrics.evidence import Lent, gather, spoken
from expunge.metrics.utility import Utility, baseline
from expunge.models.chat import Encoder
from expunge.models.load import LoadedModel
from expunge.models.view import View
from expunge.scoring.engines import engine_of
from expunge.scoring.probes import ProbeScore
from expunge.study import baselines, facts_io
from expunge.study.base_model import opened
from expunge.study.baselines import Baseline
from expunge.study.execute import Job
from expunge.study.facts_io import Material
from expunge.study.form_axis import over_forms
from expunge.study.own_scores import general_scores, own_scores
from expunge.study.record import Outcome

FORMS = ("qa",)
OF_TEXTS = ("generations", "own_answers")
"""Evidence about what the model writes, gathered for an even choice of facts only."""
ON_DEMAND = ("membership", "choices", "own_answers")
"""Evidence that is gathered only where a metric that was asked for needs it."""
PATIENCE = 32
"""Times that a model is asked for each stored sample before giving up."""


ALONE = ("costly", "benchmark", "generative", "judge", "engine")
"""What looks inside a model, asks somebody else or writes by other means, and so is done by one process."""


def shares(config: Mapping[str, Any]) -> bool:
    """Whether all that is asked for is scores and texts."""
    return not any(config.get(key) for key in ALONE)


def run(job: Job) -> Outcome:
    """Score, generate, and measure utility."""
    material, loaded = facts_io.read(job.inputs["knowledge"]), opened(job)
    first = job.config["original"]
    utility = _original(job, loaded, material.knowledge) if first else _other(job, loaded, material.knowledge)
    groups = {"forget": asked_facts(material.split), "retain_eval": material.knowledge.retain_eval}
    peers = _Peers.of(job)
    metrics: dict[str, Any] = {}
    samples: list[dict[str, Any]] = []
    kept: Sequence[ProbeScore] | None = None
    for group, facts in groups.items():
        if facts:
            measured, rows, scored = _group(job, loaded, group, facts, peers, material)
            metrics |= measured
            samples += rows
            kept = scored.scores if group == "retain_eval" else None
    if "benchmark" in job.config:
        metrics |= own_scores(job.config["benchmark"], _seen(job, loaded, material.knowledge, peers))
    if "generative" in job.config:
        metrics |= general_scores(_seen(job, loaded, material.knowledge, peers))
    peers.release()
    reading = utility.reading(utility.standard) if first else utility(loaded.view(), scored=kept)
    metrics["utility"] = {"value": reading.value, "low": reading.value, "high": reading.value, "n": 1}
    return Outcome(metrics, samples, {"model": loaded.fingerprint}, 0, {"utility_parts": dict(reading.parts)})


@dataclass(frozen=True, slots=True)
class _Peers:
    """The models that this one is compared with, each read when first used."""

    original: Lent | None
    control: Lent | None

    @classmethod
    def of(cls, job: Job) -> "_Peers":
        """The original has no peers; what nothing taught is the recipe's own model."""
        if job.config["original"]:
            return cls(None, None)
        control = Lent(lambda: opened(job, "control_model").view()) if "control_model" in job.inputs else None
        return cls(Lent(lambda: opened(job, "original_model").view()), control)

    def release(self) -> None:
        """Let go of both."""
        for lent in (self.original, self.control):
            if lent is not None:
                lent.release()


def _seen(job: Job, loaded: LoadedModel, knowledge: Knowledge, peers: _Peers) -> Seen:
    """The model as a benchmark's own scores see it."""
    model, seed = Lent(loaded.view), derive(job.config["seed"], "benchmark")
    sizes = job.config["eval"]
    return Seen(model, loaded.encoder, knowledge, peers.original, peers.control, sizes["generate"], seed)


def asked_facts(split: Split) -> tuple[Fact, ...]:
    """V and T facts that ask something; documents only where nothing asks."""
    facts = (*split.score, *split.train)
    return tuple(fact for fact in facts if any(probe.prompt for probe in fact.probes)) or facts


def _original(job: Job, loaded: LoadedModel, knowledge: Knowledge) -> Utility:
    """Draw the stored samples, measure what utility is held against, and keep both for every other cell."""
    sizes, forms = job.config["eval"], tuple(job.config["eval"]["forms"] or FORMS)
    view, seed = loaded.view(), derive(job.config["seed"], "samples")
    samples = drawn(view, loaded.encoder, sizes["samples"], sizes["sample_tokens"], seed, knowledge.forget)
    measure = baseline(view, loaded.encoder, knowledge.retain_eval, samples, forms=forms)
    if "control_model" in job.inputs:
        measure = measure.within_reach(opened(job, "control_model").view())
    baselines.write(job.folder, Baseline(samples, measure.standard, forms))
    return measure


def drawn(
    view: View, encoder: Encoder, num: int, tokens: int, seed: int, without: Sequence[Fact] = ()
) -> tuple[Fact, ...]:
    """``num`` stored samples; a model that mostly ends at once is asked again, one text at a time.

    :class:`InputError` when :data:`PATIENCE` questions a sample give too few.
    """
    try:
        return stored_samples(view, encoder, num, tokens, seed=seed, without=without)
    except InputError:
        found: list[Fact] = []
        for attempt in range(PATIENCE * num):
            with suppress(InputError):
                again = derive(seed, "patient", attempt)
                (one,) = stored_samples(view, encoder, 1, tokens, seed=again, without=without)
                name = f"sample-{len(found)}"
                found.append(replace(one, id=name, subject=name))
            if len(found) == num:
                return tuple(found)
        raise


def _other(job: Job, loaded: LoadedModel, knowledge: Knowledge) -> Utility:
    """The measure that the original left."""
    return baselines.utility(baselines.read(job.inputs["original"]), loaded.encoder, knowledge.retain_eval)


def _group(
    job: Job, loaded: LoadedModel, group: str, facts: Sequence[Fact], peers: _Peers, material: Material
) -> tuple[dict[str, Any], list[dict[str, Any]], Evidence]:
    """Metrics, samples and scores of one set of facts; texts are written for an even choice of at most ``generate``
    facts. V alone is contrasted.
    """
    sizes, forms = job.config["eval"], tuple(job.config["eval"]["forms"] or FORMS)
    view, seed = loaded.view(), derive(job.config["seed"], "evidence")
    few = facts[:: max(1, -(-len(facts) // sizes["generate"]))] if sizes["generate"] else ()
    entries = _measured(job.config, group)
    asking: set[Need] = {need for entry in entries for need in getattr(entry.factory, "needs", ()) if need in ON_DEMAND}
    needs: set[Need] = {"contrasts" if group == "forget" else "divergences", *asking - {"own_answers"}}
    members = _members(job.config, material.knowledge) if "membership" in asking else {}
    models: dict[str, Any] = {"original": peers.original, "control": peers.control}
    scored = gather(
        view, loaded.encoder, facts, forms=forms, needs=needs, contrasted=material.split.score, seed=seed,
        **models, **members,
    )  # fmt: skip
    engine = engine_of(job.config["engine"], loaded.source) if "engine" in job.config and few else None
    said = spoken(view, loaded.encoder, scored, few, asking, engine)
    prefix = "" if group == "forget" else "retain_eval."
    metrics = {f"{prefix}{entry.name}": _read(_built(entry, job.config), scored, said) for entry in entries}
    if "form_axis" in job.config:
        world = material.knowledge
        pool = (*world.forget, *world.retain_train, *world.retain_eval)
        found = over_forms(view, loaded.encoder, facts, pool, job.config["form_axis"], forms, seed)
        metrics |= {f"{prefix}{name}": reading for name, reading in found.items()}
    if group != "forget":
        metrics["retain_kl"] = metrics.pop("retain_eval.retain_kl")
        metrics = {name: reading for name, reading in metrics.items() if reading["value"] is not None}
    return metrics, _samples(group, scored, said), scored


def _measured(config: Mapping[str, Any], group: str) -> list[registry.Entry]:
    """The metrics of this set: costly ones by name only, and not where they have nothing to say."""
    named = config.get("costly", ())
    entries = [entry for entry in registry.entries("metric") if entry.name in named or not _costly(entry)]
    return [entry for entry in entries if group == "forget" or not getattr(entry.factory, "forget_only", False)]


def _built(entry: registry.Entry, config: Mapping[str, Any]) -> Metric:
    """The metric with its defaults; ``judged`` with the recipe's judge."""
    parameters = {"judge": config["judge"]} if entry.name == "judged" and "judge" in config else {}
    metric: Metric = entry.factory(**parameters)
    return metric


def _members(config: Mapping[str, Any], knowledge: Knowledge) -> dict[str, Any]:
    """Who stands beside the forget facts in membership attacks: placebo facts, or the benchmark's own two streams."""
    if "membership" not in config:
        return {"untaught": knowledge.placebo}
    members, others = (knowledge.streams.get(name, ()) for name in config["membership"])
    return {"untaught": others, "taught": members}


def _costly(entry: registry.Entry) -> bool:
    return getattr(entry.factory, "costly", False)


def _read(metric: Metric, scored: Evidence, said: Evidence) -> dict[str, Any]:
    """One metric from the evidence that has what it needs."""
    return metric.compute(said if set(OF_TEXTS) & set(metric.needs) else scored).as_dict()


def _samples(group: str, scored: Evidence, said: Evidence) -> list[dict[str, Any]]:
    """A row per probe; ``generated`` is null where no text was written."""
    answers = zip(said.scores or (), said.generations or (), strict=True)
    texts = {(item.fact.id, item.probe): text for item, text in answers}
    return [
        {
            "split": group,
            "fact": item.fact.id,
            "subject": item.fact.subject,
            "form": item.probe.form,
            "prompt": item.probe.prompt,
            "answer": item.probe.answer,
            "generated": texts.get((item.fact.id, item.probe)),
            "hit": int(item.score.greedy),
            "probability": item.score.probability,
        }
        for item in scored.scores or ()
    ]
