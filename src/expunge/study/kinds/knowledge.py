"""Knowledge cells: draw a world, keep what the model knows (where nothing is taught), cut V from T.

Config: ``name``, ``params``, ``split_fraction``, ``split_by``, ``seed``, ``known`` (a model key, or null where the
world is taught), ``requests`` where the facts are asked for one request after another, ``worst_case`` where only the
hardest (or easiest) subjects are forgotten, and ``background`` (place and hash) where the user brings texts.
Writes ``knowledge.json``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from expunge import registry
from expunge.benchmarks.background import with_background
from expunge.benchmarks.worst_case import hardness, worst_case
from expunge.core.errors import InputError
from expunge.core.seeds import derive
from expunge.knowledge.facts import Fact, Knowledge, Split
from expunge.knowledge.keywords import split_by_keyword
from expunge.knowledge.requests import draw_requests, split_requests
from expunge.knowledge.splits import split_by_subject
from expunge.scoring.known import keep_known
from expunge.study import facts_io
from expunge.study.base_model import base_model
from expunge.study.execute import Job
from expunge.study.facts_io import Material
from expunge.study.record import Outcome
from expunge.study.sections import BUILT_IN

FORMS = 4
"""Facts asked in at least this many forms are kept only where the model is right in three of them."""


def run(job: Job) -> Outcome:
    """Build the world and its cuts."""
    config = job.config
    drawn: Knowledge = registry.build("benchmark", config["name"], **config["params"]).build(config["seed"])
    knowledge = with_background(drawn, config.get("background", {}).get("place"))
    hashes, filtered = {}, False
    if config["known"] is not None and all(len(forms_of(fact)) >= FORMS for fact in knowledge.forget):
        loaded = base_model(config["known"], (), config["seed"])
        knowledge, filtered = keep_known(loaded.view(), loaded.encoder, knowledge), True
        hashes["model"] = loaded.fingerprint
    if config["split_by"] == "fact":
        alone = tuple(replace(fact, subject=fact.id) for fact in knowledge.forget)
        knowledge = replace(knowledge, forget=alone, split=None)
    if "worst_case" in config:
        knowledge, hashes["worst_case"] = _selected(knowledge, config)
    if config["split_by"] == "keyword":
        knowledge = replace(knowledge, split=_by_keyword(knowledge, config))
    knowledge, split = _requested(knowledge, config) if "requests" in config else _at_once(knowledge, config)
    placebo, reason = _placebo(knowledge.placebo, config)
    facts_io.write(job.folder, Material(knowledge, split, placebo, reason))
    hashes["data"] = facts_io.fingerprint([*knowledge.forget, *knowledge.retain_train, *knowledge.retain_eval])
    extra = {"counts": counts(knowledge, split), "leaks": _leaks(split), "filtered": filtered}
    return Outcome(hashes=hashes, extra=extra)


def _selected(knowledge: Knowledge, config: Mapping[str, Any]) -> tuple[Knowledge, str]:
    """The hardest subjects, or the easiest, under the named model; and that model's fingerprint."""
    choice = config["worst_case"]
    if choice["model"]["source"] in BUILT_IN:
        raise InputError(
            f"worst_case asks model {choice['model']['source']!r}, whose random weights find nothing hard; name a "
            "trained one under worst_case.model, such as the folder of an unlearned model."
        )
    loaded = base_model(choice["model"], (), config["seed"])
    hard = hardness(loaded.view(), loaded.encoder, knowledge.forget, choice["score"])
    sign = -1 if choice["easiest"] else 1
    return worst_case(knowledge, choice["subjects"], lambda fact: sign * hard(fact)), loaded.fingerprint


def _at_once(knowledge: Knowledge, config: Mapping[str, Any]) -> tuple[Knowledge, Split]:
    """Everything is one request: the official cut, or one by subject."""
    return knowledge, knowledge.split or _cut(knowledge.forget, config, "split")


def _by_keyword(knowledge: Knowledge, config: Mapping[str, Any]) -> Split:
    """The skewed cut; requests have cuts of their own."""
    if "requests" in config:
        raise InputError("split_by 'keyword' cuts all forget facts at once; leave out 'requests', or cut by subject.")
    return split_by_keyword(knowledge.forget, seed=derive(config["seed"], "split"))


def _requested(knowledge: Knowledge, config: Mapping[str, Any]) -> tuple[Knowledge, Split]:
    """The world's own requests, or drawn ones, each with its T and V; facts that no request asks for are left out."""
    there = {fact.id for fact in knowledge.forget}
    own = tuple(tuple(key for key in ids if key in there) for ids in knowledge.requests)
    if () in own:
        raise InputError(
            f"request {own.index(()) + 1} of {len(own)} is empty: the model knows none of its facts, or worst_case "
            "chose none of its subjects; leave out 'requests', or forget more."
        )
    seed = derive(config["seed"], "requests")
    requests = own or draw_requests(knowledge.forget, config["requests"], seed=seed)
    asked = {key for ids in requests for key in ids}
    forget = tuple(fact for fact in knowledge.forget if fact.id in asked)
    split = split_requests(forget, requests, fraction=config["split_fraction"], seed=derive(config["seed"], "split"))
    return replace(knowledge, forget=forget, requests=requests), split


def forms_of(fact: Fact) -> set[str]:
    """The forms that a fact is asked in."""
    return {probe.form for probe in fact.probes}


def _cut(facts: Sequence[Fact], config: Mapping[str, Any], label: str) -> Split:
    """T and V of ``facts``, by subject."""
    return split_by_subject(facts, fraction=config["split_fraction"], seed=derive(config["seed"], label))


def _placebo(facts: Sequence[Fact], config: Mapping[str, Any]) -> tuple[Split | None, str]:
    """The cut of the placebo facts, or the reason why there is none."""
    if not facts:
        return None, "the world has no placebo facts."
    try:
        return _cut(facts, config, "placebo"), ""
    except InputError as error:
        return None, str(error)


def counts(knowledge: Knowledge, split: Split) -> dict[str, int]:
    """Facts in every set and subjects on both sides of the cut."""
    facts = {name: len(getattr(knowledge, name)) for name in facts_io.SETS}
    sides = {"t_subjects": split.train, "v_subjects": split.score}
    return {**facts, **{name: len({fact.subject for fact in side}) for name, side in sides.items()}}


def _leaks(split: Split) -> list[dict[str, object]]:
    """The leak table."""
    return [{"text": leak.text, "subjects": list(leak.subjects)} for leak in split.leaks]
