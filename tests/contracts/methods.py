"""What must hold of every method of several stages and every edit, from facts to a changed model."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from contracts.checks import Killed, Weights, folder, weights
from contracts.parameters import PARAMETERS
from expunge import registry
from expunge.builders.base import Material
from expunge.knowledge.facts import Fact
from expunge.methods.grammar import MethodSpec, Part
from expunge.methods.run import run_method
from expunge.models.load import LoadedModel, load
from expunge.training.checkpoint import Checkpoints
from expunge.training.loop import TrainResult
from reference.metrics_world import facts

MODELS = ("tiny", "tiny-moe")
BUILDERS = {"replayed": Part("builder", "replayed", {"num": 8, "max_new_tokens": 8})}
FIRST = ("Ann", "Tom", "Eva", "Max", "Ida", "Leo", "Una", "Kai", "Zoe")
LAST = ("Berg", "Falk", "Holm", "Lund", "Moss", "Nord", "Pohl", "Rask", "Sand")
SETTINGS = {"lr": 1e-3, "steps": 2, "batch_size": 4, "precision": "fp32", "checkpoint_every": 1}


def whole() -> list[Part]:
    """Every component that is a method by itself."""
    return [
        Part(kind, entry.name, PARAMETERS.get(entry.name, {}))
        for kind in ("method", "edit")
        for entry in registry.entries(kind)
    ]


def people(first: int, last: int) -> tuple[Fact, ...]:
    """Facts whose subjects have two words, which stand in the questions: some methods ask about invented names."""
    return tuple(
        _named(fact, f"{FIRST[number]} {LAST[number]}") for number, fact in enumerate(facts(first, last), first)
    )


def _named(fact: Fact, name: str) -> Fact:
    old = f"P{fact.subject.removeprefix('s')}"
    probes = tuple(replace(probe, prompt=probe.prompt.replace(old, name)) for probe in fact.probes)
    return replace(fact, subject=name, probes=probes)


def fresh(model: str) -> LoadedModel:
    """A random tiny model with a byte tokenizer; its seed is not the one that an alias loads with."""
    return load(model, template="plain", seed=1)


def run(part: Part, loaded: LoadedModel, home: Path | None = None) -> TrainResult:
    """Unlearn six facts with three to keep."""
    material = Material(loaded=loaded, forget=people(0, 6), retain=people(6, 9), seed=3)
    return run_method(
        MethodSpec(parts={"method": part}, builders=BUILDERS), material, settings=SETTINGS, seed=3, folder=home
    )


def weights_of(loaded: LoadedModel) -> Weights:
    """The weights of the model as it is now."""
    return weights(loaded.view())


def check_changed(loaded: LoadedModel, before: LoadedModel) -> None:
    """Something moved, every weight is finite, and the model has the parts it had."""
    after, old = weights_of(loaded), weights_of(before)
    assert after.keys() == old.keys(), "the model has other weights than before"
    assert any(not torch.equal(after[name], old[name]) for name in old), "nothing moved"
    lost = [name for name, weight in after.items() if not bool(weight.isfinite().all())]
    assert not lost, f"not finite: {lost[:3]}"
    hooks = [name for name, part in loaded.model.named_modules() if part._forward_hooks or part._forward_pre_hooks]
    assert not hooks, f"hooks are left on {hooks[:3]}"
    assert all(weight.requires_grad for weight in loaded.model.parameters()), "gradient flags were not put back"


def check_log(result: TrainResult, loaded: LoadedModel) -> None:
    """Every number that the run reports is finite, and it reports on the model that it changed."""
    lost = {key: value for entry in result.losses for key, value in entry.items() if not math.isfinite(value)}
    assert not lost, f"not finite: {lost}"
    assert result.model is loaded.model


def check_continues(part: Part, model: str, done: LoadedModel) -> None:
    """Killed in the middle and started again on a new model, the method ends in the same bits."""
    again = fresh(model)
    with folder() as home, dying(after=max(1, checkpoints(part, model) // 2)):
        try:
            run(part, fresh(model), home)
        except Killed:
            run(part, again, home)
        else:
            # Without a training stage there is nothing to kill; the second run must still equal the first.
            run(part, again)
    theirs = weights_of(done)
    differing = [name for name, weight in weights_of(again).items() if not torch.equal(weight, theirs[name])]
    assert not differing, f"killed and continued, the method ends in other weights: {differing[:3]}"


def checkpoints(part: Part, model: str) -> int:
    """How many checkpoints a whole run writes."""
    with mock.patch.object(Checkpoints, "save") as save, folder() as home:
        run(part, fresh(model), home)
    return save.call_count


@contextmanager
def dying(after: int) -> Iterator[None]:
    """Inside the block the process "dies" once, right after checkpoint number ``after``."""
    save, count = Checkpoints.save, 0

    def last(self: Checkpoints, *values: Any) -> None:
        nonlocal count
        save(self, *values)
        count += 1
        if count == after:
            raise Killed

    with mock.patch.object(Checkpoints, "save", last):
        yield
