"""A tiny model and facts for methods of several stages, and a run of one."""

import copy
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import torch

from expunge.builders.base import Material
from expunge.knowledge.encode import rows_of
from expunge.knowledge.facts import Fact
from expunge.methods.grammar import parse
from expunge.methods.run import run_method
from expunge.methods.streams import Streams
from expunge.methods.work import Work
from expunge.models.load import LoadedModel
from expunge.models.loaded import assemble
from expunge.models.tiny import byte_tokenizer, tiny_llama
from expunge.objectives.cross_entropy import CrossEntropy
from expunge.training.config import TrainConfig
from expunge.training.loop import TrainResult, train
from reference.metrics_world import fact

SETTINGS: Mapping[str, Any] = {"lr": 1e-3, "epochs": 1, "batch_size": 4, "precision": "fp32"}
Weights = dict[str, torch.Tensor]


@cache
def _original() -> LoadedModel:
    """A model that has been taught its facts: what knows nothing cannot be seen to keep or to forget."""
    made = assemble(tiny_llama(hidden=32, heads=2), byte_tokenizer(), "tiny", "", template="plain")
    rows = rows_of(facts(0, 9), made.encoder, ("qa",))
    train(made.view(), {"teach": rows}, CrossEntropy(), config=TrainConfig(lr=1e-2, steps=60, precision="fp32"))
    return made


def loaded() -> LoadedModel:
    """A copy of the tiny model, to be changed."""
    original = _original()
    return replace(original, model=copy.deepcopy(original.model))


def facts(first: int, last: int) -> tuple[Fact, ...]:
    """Facts of one subject each; two attributes take turns."""
    return tuple(replace(fact(number), attribute=("home", "town")[number % 2]) for number in range(first, last))


def material(**changes: Any) -> Material:
    """Forget facts 0–3, retain facts 6–9, a fresh model, questions only."""
    common = {"forget": facts(0, 4), "retain": facts(6, 9), "forms": ("qa",), "retain_forms": ("qa",)}
    return Material(**{"loaded": loaded(), **common, **changes})


def work(settings: Mapping[str, Any] = SETTINGS, **changes: Any) -> Work:
    """A run that has not begun."""
    return Work(streams=Streams(material(**changes)), settings=settings, seed=3)


def weights(model: Any) -> Weights:
    """A copy, by name."""
    return {name: weight.detach().clone() for name, weight in model.named_parameters()}


def unlearned(
    method: str | Mapping[str, Any], settings: Mapping[str, Any] = SETTINGS, folder: Path | None = None, **changes: Any
) -> tuple[Weights, TrainResult]:
    """The weights after ``method`` on a fresh model, and what the run says."""
    result = run_method(parse(method), material(**changes), settings=settings, seed=3, folder=folder)
    return weights(result.model), result


def furthest(left: Mapping[str, torch.Tensor], right: Mapping[str, torch.Tensor]) -> float:
    """The largest difference of any weight."""
    assert left.keys() == right.keys()
    return max(float((left[name] - right[name]).abs().max()) for name in left)


def keeps_its_contract(
    method: str | Mapping[str, Any], folder: Path, settings: Mapping[str, Any] = SETTINGS, **changes: Any
) -> None:
    """It moves the model, ends finite, leaves no adapter, repeats itself bit for bit, and can be saved and loaded."""
    from expunge.models.load import load
    from expunge.models.save import save

    given = material(**changes)
    before = weights(given.loaded.model)
    result = run_method(parse(method), given, settings=settings, seed=3)
    after = weights(result.model)
    assert result.model is given.loaded.model
    assert furthest(before, after) > 1e-5
    assert all(bool(torch.isfinite(weight).all()) for weight in after.values())
    assert all(weight.grad is None and weight.requires_grad for weight in result.model.parameters())
    assert furthest(after, unlearned(method, settings, **changes)[0]) == 0
    save(given.loaded, folder / "model", model=result.model)
    assert furthest(after, weights(load(folder / "model").model)) == 0
