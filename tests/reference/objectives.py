"""Slow literal twins of the objectives: one row, one token, one vocabulary entry at a time, straight from the papers.

They run the plain Hugging Face model on each row alone, without padding, View, Batch or masks.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from expunge.models.rows import Row


def row_logits(model: Any, row: Row) -> Tensor:
    """All logits of one row, [T, V], fp32."""
    return model(input_ids=torch.tensor([row.ids])).logits[0].float()


def token_logprobs(model: Any, row: Row) -> list[Tensor]:
    """log p(y_t | y_<t) of each label token."""
    logits = row_logits(model, row)
    found = []
    for position, is_label in enumerate(row.labels):
        if is_label:
            scores = logits[position - 1]
            found.append(scores[row.ids[position]] - torch.logsumexp(scores, 0))
    return found


def log_sigmoid(value: Tensor) -> Tensor:
    """log σ(x) = −log(1 + e^−x)."""
    return -torch.log1p(torch.exp(-value))


def cross_entropy(model: Any, rows: Sequence[Row]) -> Tensor:
    """Mean over all label tokens of all rows."""
    tokens = [logprob for row in rows for logprob in token_logprobs(model, row)]
    return -sum(tokens) / len(tokens)


def gradient_ascent(model: Any, rows: Sequence[Row]) -> Tensor:
    """Minus the cross-entropy."""
    return -cross_entropy(model, rows)


def npo(model: Any, original: Any, rows: Sequence[Row], beta: float) -> Tensor:
    """−(2/β) E log σ(−β log(π_θ(y|x) / π_0(y|x))), arXiv 2404.05868 eq. 3."""
    total = torch.tensor(0.0)
    for row in rows:
        with torch.no_grad():
            reference = sum(token_logprobs(original, row))
        total = total - 2 / beta * log_sigmoid(-beta * (sum(token_logprobs(model, row)) - reference))
    return total / len(rows)


def simnpo(model: Any, rows: Sequence[Row], beta: float, delta: float) -> Tensor:
    """−(2/β) E log σ(−(β/|y|) log π_θ(y|x) − βδ), arXiv 2410.07163 eq. 6 with γ = βδ."""
    total = torch.tensor(0.0)
    for row in rows:
        logprobs = token_logprobs(model, row)
        total = total - 2 / beta * log_sigmoid(-(beta / len(logprobs)) * sum(logprobs) - beta * delta)
    return total / len(rows)


def kl(model: Any, original: Any, rows: Sequence[Row]) -> Tensor:
    """Mean over label positions of Σ_v p_0(v) (log p_0(v) − log p_θ(v))."""
    total, count = torch.tensor(0.0), 0
    for row in rows:
        with torch.no_grad():
            old = torch.log_softmax(row_logits(original, row), -1)
        new = torch.log_softmax(row_logits(model, row), -1)
        for position, is_label in enumerate(row.labels):
            if is_label:
                for token in range(old.shape[1]):
                    before, after = old[position - 1, token], new[position - 1, token]
                    total = total + math.exp(before) * (before - after)
                count += 1
    return total / count


def sam_point(weights: Sequence[Tensor], grads: Sequence[Tensor], rho: float) -> list[Tensor]:
    """θ + ρ g/‖g‖ with one norm over everything, arXiv 2010.01412 eq. 2."""
    norm = math.sqrt(sum(float((grad.double() ** 2).sum()) for grad in grads))
    return [weight + rho * grad / norm for weight, grad in zip(weights, grads, strict=True)]
