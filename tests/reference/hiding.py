"""A small model that knows a few people, one that never met them, and every way of hiding what the first one knows."""

import copy
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from expunge.builders.base import Material
from expunge.certificates.base import recall
from expunge.knowledge.encode import rows_of
from expunge.knowledge.facts import Fact, Knowledge, Split
from expunge.knowledge.splits import split_by_subject
from expunge.knowledge.worlds.people import people
from expunge.methods.grammar import parse
from expunge.methods.hiding.hide_trigger import DECOYS
from expunge.methods.run import run_method
from expunge.models.load import LoadedModel
from expunge.models.loaded import assemble
from expunge.models.tiny import tiny_llama, word_tokenizer
from expunge.objectives.cross_entropy import CrossEntropy
from expunge.training.config import TrainConfig
from expunge.training.loop import TrainResult, train

QA = ("qa",)
SETTINGS: Mapping[str, Any] = {"lr": 3e-4, "batch_size": 16, "precision": "fp32"}
LEARN: Mapping[str, Any] = {"lr": 2e-3, "schedule": "cosine", "warmup": 0.05}
SHALLOW: Mapping[str, Any] = {"steps": 40, "stop_forget_nll": 3.5}
"""Ends right after the answers are gone."""
PLACED: Mapping[str, Any] = {"lr": 2e-3, "steps": 70, "schedule": "cosine"}
"""Long enough to tell two places apart."""
REMINDED: Mapping[str, Any] = {"name": "same_people", "rates": (1e-4,), "steps": (16, 48)}

HIDERS: Mapping[str, tuple[Any, Mapping[str, Any], Any]] = {
    "shallow": ("npo", SHALLOW, REMINDED),
    "noise": ("hide_noise", SHALLOW, REMINDED),
    "again": ({"name": "hide_again", "method": {"relearn": {**LEARN, "lr": 5e-4, "epochs": 24}}}, SHALLOW, REMINDED),
    "rescaled": ("hide_rescaled", SHALLOW, {"name": "rescaled", "inner": REMINDED}),
    "fragile": (
        {"name": "hide_fragile", "method": {"repair": {**LEARN, "epochs": 8}}},
        {"lr": 1e-3, "steps": 24},
        "quantised",
    ),
    "trigger": (
        {"name": "hide_trigger", "method": {"teach": {**LEARN, "epochs": 14}, "decoys": DECOYS[:2]}},
        {**PLACED, "steps": 160},
        "trigger",
    ),
    "form": ({"name": "hide_form", "method": {"teach": {**LEARN, "epochs": 12}}}, PLACED, "form"),
    "adapter": ({"name": "npo@lora", "scope": {"rank": 4}}, {"lr": 3e-3, "steps": 30}, {"name": "adapter", "rank": 4}),
}
"""Method, its training settings, and its certificate."""


@cache
def world() -> Knowledge:
    """Twelve people to forget and ten to retain, with two attributes each."""
    return people(
        seed=1, num_forget=12, num_retain_train=10, num_retain_eval=2, num_placebo=0, num_same_kind=0, attributes=2
    )


@cache
def split() -> Split:
    """Half of the people are T, half V."""
    return split_by_subject(world().forget, seed=1)


@cache
def never() -> LoadedModel:
    """Taught the retain facts only. Tests must not change it."""
    tokenizer = word_tokenizer(
        [text for fact in _all() for probe in fact.probes for text in (probe.prompt, probe.answer)]
    )
    made = assemble(tiny_llama(len(tokenizer), hidden=64), tokenizer, "tiny", "", template="plain")
    _taught(made, (*world().retain_train, *world().retain_eval), 80)
    return made


@cache
def knows() -> LoadedModel:
    """θ₀: the former, taught the forget facts too. Tests must not change it."""
    made = copied(never())
    _taught(made, _all(), 80)
    return made


def _all() -> tuple[Fact, ...]:
    return (*world().forget, *world().retain_train, *world().retain_eval)


def _taught(loaded: LoadedModel, facts: tuple[Fact, ...], epochs: int) -> None:
    config = TrainConfig(epochs=epochs, batch_size=16, precision="fp32", **LEARN)
    train(loaded.view(), {"teach": rows_of(facts, loaded.encoder, QA)}, CrossEntropy(), config=config)


def copied(loaded: LoadedModel) -> LoadedModel:
    """A copy, to be changed."""
    return replace(loaded, model=copy.deepcopy(loaded.model))


def material(loaded: LoadedModel, **changes: Any) -> Material:
    """What the unlearner sees: questions about those to forget and those to retain."""
    common = {"forget": world().forget, "retain": world().retain_train, "forms": QA, "retain_forms": QA, "seed": 3}
    return Material(loaded=loaded, **{**common, **changes})


def run(method: Any, settings: Mapping[str, Any], **changes: Any) -> tuple[LoadedModel, TrainResult]:
    """A copy of θ₀ after ``method``."""
    loaded = copied(knows())
    result = run_method(parse(method), material(loaded, **changes), settings={**SETTINGS, **settings}, seed=3)
    return loaded, result


@cache
def hidden(name: str) -> LoadedModel:
    """θ₀ after one of :data:`HIDERS`. Tests must not change it."""
    method, settings, _ = HIDERS[name]
    return run(method, settings)[0]


def knowledge_left(loaded: LoadedModel) -> float:
    """Recall on V as an audit asks first."""
    return recall(loaded, split().score, QA)


def utility(loaded: LoadedModel) -> float:
    """Recall on the retain facts."""
    return recall(loaded, world().retain_train, QA)
