"""Slow twins of the suffix search: plain Hugging Face calls, a row at a time, one-hot tokens, no cache.

And the training by which the tests of prompts that are searched for plant their facts.
"""

import copy
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from expunge.attacks.gap import Gap
from expunge.models.load import LoadedModel
from expunge.models.rows import Row
from expunge.registry import build
from expunge.training.config import TrainConfig
from expunge.training.loop import train

Ids = tuple[int, ...]


def gaps(vocabulary: int, count: int, seed: int) -> list[Gap]:
    """Questions of unequal length; the first tokens after the gap are not yet the answer."""
    source = random.Random(seed)

    def ids(least: int, most: int) -> Ids:
        return tuple(source.randrange(2, vocabulary) for _ in range(source.randint(least, most)))

    made = []
    for number in range(count):
        before, joint, answer = ids(1, 7), ids(0, 2), ids(1, 4)
        labels = (False,) * len(joint) + (True,) * len(answer)
        made.append(Gap(f"q{number}", before, (*joint, *answer), labels))
    return made


def nll(model: Any, gap: Gap, suffix: Ids) -> float:
    """Summed NLL of one answer from one full forward pass."""
    ids = [*gap.before, *suffix, *gap.after]
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0].float()
    start, total = len(gap.before) + len(suffix), 0.0
    for place, label in enumerate(gap.labels):
        if label:
            total -= float(logits[start + place - 1].log_softmax(-1)[ids[start + place]])
    return total


def loss(model: Any, questions: Sequence[Gap], suffix: Ids) -> float:
    """Mean over questions."""
    return sum(nll(model, gap, suffix) for gap in questions) / len(questions)


def one_hot_gradient(model: Any, questions: Sequence[Gap], suffix: Ids) -> Tensor:
    """Gradient of the loss with respect to a one-hot matrix that stands for the suffix."""
    table = model.get_input_embeddings()
    weight = torch.stack([table(torch.tensor(token)).detach() for token in range(len(table.weight))])
    one_hot = torch.nn.functional.one_hot(torch.tensor(suffix), len(weight)).float().requires_grad_()
    for gap in questions:
        embedded = torch.cat([weight[list(gap.before)], one_hot @ weight, weight[list(gap.after)]])
        logits = model(inputs_embeds=embedded[None], use_cache=False).logits[0].float()
        start = len(gap.before) + len(suffix)
        for place, label in enumerate(gap.labels):
            if label:
                logprob = logits[start + place - 1].log_softmax(-1)[gap.after[place]]
                (-logprob / len(questions)).backward(retain_graph=True)
    assert one_hot.grad is not None
    model.zero_grad()
    return one_hot.grad


def search(
    model: Any,
    questions: Sequence[Gap],
    start: Ids,
    steps: int,
    allowed: Sequence[int],
    candidates: int,
    top_k: int,
    stream: random.Random,
) -> list[tuple[Ids, float]]:
    """Greedy coordinate gradient in loops, with the draws of ``stream``."""
    path = [(start, loss(model, questions, start))]
    for _ in range(steps):
        now, least = path[-1]
        gradient = one_hot_gradient(model, questions, now)
        liked = [sorted(allowed, key=lambda token: float(row[token]))[:top_k] for row in gradient]
        tried: list[Ids] = []
        for _ in range(8 * candidates):
            place = stream.randrange(len(now))
            candidate = (*now[:place], stream.choice(liked[place]), *now[place + 1 :])
            if candidate != now and candidate not in tried:
                tried.append(candidate)
            if len(tried) == candidates:
                break
        for candidate in tried:
            value = loss(model, questions, candidate)
            if value < least:
                now, least = candidate, value
        path.append((now, least))
    return path


def trained(start: LoadedModel, rows: Sequence[Row], steps: int) -> LoadedModel:
    """A copy after cross-entropy on ``rows``."""
    loaded = replace(start, model=copy.deepcopy(start.model))
    config = TrainConfig(lr=4e-3, steps=steps, batch_size=32, seed=0, precision="fp32")
    train(loaded.view(), {"teach": rows}, build("objective", "cross_entropy"), config=config)
    return loaded
