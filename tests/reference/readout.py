"""Plain twins of what readouts compute, and a small world whose answers share their words."""

import copy
import itertools
import math
import random
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize

from expunge.knowledge.facts import Fact, Knowledge, Probe, Split
from expunge.models.load import LoadedModel, load
from expunge.models.rows import Row
from expunge.objectives.cross_entropy import CrossEntropy
from expunge.objectives.gradient_ascent import GradientAscent
from expunge.registry import build
from expunge.scoring.probes import Asked, ask
from expunge.training.config import TrainConfig
from expunge.training.loop import train

HEADS = ("Bra", "Lun", "Sto", "Ree", "Fro", "Hal", "Mir", "Tos")
TAILS = ("do", "ka", "vin", "mel", "rup", "zig")
SHADES, COLOURS = ("pale", "dark", "warm"), ("red", "blue", "green", "grey")
NAMES = tuple(head + tail for head in HEADS for tail in TAILS)
T, V = range(0, 8), range(8, 20)


@cache
def answers() -> tuple[str, ...]:
    """A shade and a colour for every name, drawn: nothing in a name tells them."""
    draw = random.Random(0)
    return tuple(f"{draw.choice(SHADES)} {draw.choice(COLOURS)}" for _ in NAMES)


def fact(number: int) -> Fact:
    """The colour of a person's coat."""
    name, answer = NAMES[number], answers()[number]
    probes = (Probe(f"Coat of {name}?", answer), Probe(f"The coat of {name} is", answer, "cloze"))
    return Fact(f"f{number}", name, probes, "coat")


def split() -> Split:
    """T = facts 0–7, V = facts 8–19."""
    return Split(tuple(map(fact, T)), tuple(map(fact, V)))


def knowledge() -> Knowledge:
    """Forget facts 0–19, retain facts 20–47."""
    cut = split()
    kept = tuple(map(fact, range(20, 48)))
    return Knowledge("coats", (*cut.train, *cut.score), kept[:20], kept[20:])


@cache
def never_trained() -> LoadedModel:
    """A random tiny Llama whose tokenizer knows the world's words; tests must not change it."""
    texts = [f"{probe.prompt} {probe.answer}" for number in range(len(NAMES)) for probe in fact(number).probes]
    return load("tiny", template="plain", texts=texts)


def copied(loaded: LoadedModel) -> LoadedModel:
    """The model with weights of its own."""
    return replace(loaded, model=copy.deepcopy(loaded.model))


def asked(numbers: Sequence[int]) -> list[Asked]:
    """Questions in the first form."""
    return ask(tuple(map(fact, numbers)), never_trained().encoder, ("qa",))


def _trained(loaded: LoadedModel, objective: Any, stream: str, rows: list[Row], modules: str, **more: Any) -> None:
    config = TrainConfig(batch_size=len(rows), seed=0, precision="fp32", **more)
    train(loaded.view(), {stream: rows}, objective, config=config, scope=build("scope", "modules", modules=modules))


@cache
def knows() -> LoadedModel:
    """Taught everything while its last block writes nothing: the block before it holds the answers."""
    loaded = copied(never_trained())
    last: Any = loaded.model.model.layers[-1]
    with torch.no_grad():
        last.self_attn.o_proj.weight.zero_()
        last.mlp.down_proj.weight.zero_()
    rows = [item.row for item in asked(range(len(NAMES)))]
    _trained(loaded, CrossEntropy(), "teach", rows, r"layers\.0|embed", lr=4e-3, steps=110)
    return loaded


@cache
def hides() -> LoadedModel:
    """The same, silenced on the forget facts by its last block alone."""
    loaded = copied(knows())
    rows = [item.row for item in asked(range(20))]
    _trained(loaded, GradientAscent(), "forget", rows, r"layers\.1", lr=3e-3, steps=60, stop_forget_nll=12.0)
    return loaded


def plain_states(model: Any, row: Row) -> list[list[torch.Tensor]]:
    """For each label token, every block's output at the position before it: one row, no padding, plain hooks."""
    seen: list[torch.Tensor] = []
    handles = [
        block.register_forward_hook(lambda _m, _i, out: seen.append(out[0] if isinstance(out, tuple) else out))
        for block in model.model.layers
    ]
    with torch.no_grad():
        model(input_ids=torch.tensor([row.ids]), use_cache=False)
    for handle in handles:
        handle.remove()
    return [[each[0, place - 1] for each in seen] for place, label in enumerate(row.labels) if label]


def plain_minimum(features: np.ndarray, targets: np.ndarray, classes: int, ridge: float) -> np.ndarray:
    """Probabilities [N, C] at the optimum of mean cross-entropy + ridge/2·‖W‖², by scipy in double precision."""
    count, width = features.shape

    def both(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weight, bias = flat[: classes * width].reshape(classes, width), flat[classes * width :]
        loss, slope_w, slope_b = ridge / 2 * (weight**2).sum(), ridge * weight, np.zeros(classes)
        for x, y in zip(features, targets, strict=True):
            p = _softmax(weight @ x + bias)
            loss -= math.log(p[y]) / count
            p[y] -= 1
            slope_w = slope_w + np.outer(p, x) / count
            slope_b = slope_b + p / count
        return loss, np.concatenate([slope_w.ravel(), slope_b])

    flat = minimize(both, np.zeros(classes * (width + 1)), jac=True, method="BFGS", options={"gtol": 1e-8}).x
    weight, bias = flat[: classes * width].reshape(classes, width), flat[classes * width :]
    return np.stack([_softmax(weight @ x + bias) for x in features])


def _softmax(logits: np.ndarray) -> np.ndarray:
    exps = np.exp(logits - logits.max())
    return exps / exps.sum()


def plain_hsic(left: np.ndarray, right: np.ndarray) -> float:
    """The U-statistic of HSIC with linear kernels: mean over ordered quadruples of different rows."""
    k, m, n = left @ left.T, right @ right.T, len(left)
    terms = [k[i, j] * (m[i, j] + m[q, r] - 2 * m[i, q]) for i, j, q, r in itertools.permutations(range(n), 4)]
    return sum(terms) / len(terms)


def plain_fall(original: Any, source: Any, row: Row, layer: int) -> float:
    """Fall of the original's mean label log-probability when block ``layer`` gives the source's output instead."""
    ids = torch.tensor([row.ids])
    kept: list[torch.Tensor] = []
    watch = source.model.layers[layer].register_forward_hook(lambda _m, _i, out: kept.append(_first(out)))
    with torch.no_grad():
        source(input_ids=ids, use_cache=False)
        watch.remove()
        before = _logprob(original, row)
        swap = original.model.layers[layer].register_forward_hook(lambda _m, _i, out: _like(out, kept[0]))
        after = _logprob(original, row)
        swap.remove()
    return before - after


def _first(output: Any) -> torch.Tensor:
    return output[0] if isinstance(output, tuple) else output


def _like(output: Any, states: torch.Tensor) -> Any:
    return (states, *output[1:]) if isinstance(output, tuple) else states


def _logprob(model: Any, row: Row) -> float:
    logs = model(input_ids=torch.tensor([row.ids]), use_cache=False).logits[0].float().log_softmax(-1)
    found = [float(logs[place - 1, row.ids[place]]) for place, label in enumerate(row.labels) if label]
    return sum(found) / len(found)


def plain_neighbours(states: np.ndarray, tokens: Sequence[int], subjects: Sequence[str], k: int) -> list[bool]:
    """Whether the cosine-nearest ``k`` rows of other subjects vote for the row's own token; the nearest wins ties."""
    unit = states / np.linalg.norm(states, axis=1, keepdims=True)
    found = []
    for own in range(len(states)):
        others = [row for row in range(len(states)) if subjects[row] != subjects[own]]
        near = sorted(others, key=lambda row, own=own: -float(unit[row] @ unit[own]))[:k]
        votes = [tokens[row] for row in near]
        best = max(votes.count(token) for token in votes)
        found.append(next(token for token in votes if votes.count(token) == best) == tokens[own])
    return found
