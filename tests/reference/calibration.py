"""Literal twins of calibration: bins by comparison, answers token by token, options by a plain pass each."""

import math
from collections.abc import Sequence
from typing import Any

import torch

from reference.metrics_twins import next_logits, stepwise_argmax


def calibration_error(confidences: Sequence[float], hits: Sequence[bool], bins: int) -> float:
    """Guo et al.'s eq. 3, bin by bin; the last bin is closed on the right."""
    total = 0.0
    for number in range(bins):
        low, high = number / bins, (number + 1) / bins
        members = [
            place
            for place, value in enumerate(confidences)
            if low <= value < high or (number == bins - 1 and value == 1.0)
        ]
        if members:
            right = sum(hits[place] for place in members) / len(members)
            sure = sum(confidences[place] for place in members) / len(members)
            total += len(members) / len(hits) * abs(right - sure)
    return total


def brier(confidences: Sequence[float], hits: Sequence[bool]) -> float:
    """The mean squared distance."""
    return sum((value - (1.0 if hit else 0.0)) ** 2 for value, hit in zip(confidences, hits, strict=True)) / len(hits)


def own_answer(model: Any, prompt: Sequence[int], truth: Sequence[int], ends: Sequence[int], spare: int) -> Any:
    """Probability of the greedy answer by a fresh pass a token, and whether it is the truth."""
    said = stepwise_argmax(model, prompt, ends, spare)
    if truth[-1] not in ends:
        said = said[: len(truth)]
    probability, ids = 1.0, list(prompt)
    for token in said:
        probability *= float(next_logits(model, ids).softmax(0)[token])
        ids.append(token)
    return probability, list(said) == list(truth)


def confidence(model: Any, prompt: Sequence[int], options: Sequence[Sequence[int]]) -> float:
    """The likeliest option's share, from one plain pass an option."""
    totals = []
    for option in options:
        with torch.no_grad():
            logs = model(input_ids=torch.tensor([[*prompt, *option]])).logits[0].double().log_softmax(-1)
        totals.append(sum(float(logs[len(prompt) + place - 1, token]) for place, token in enumerate(option)))
    return math.exp(max(totals)) / sum(math.exp(total) for total in totals)
