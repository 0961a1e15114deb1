"""Distance and barrier, literally: two state dicts, one loop over weights, the model's own loss row by row."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import nn

from expunge.models.rows import Row


def distance(new: nn.Module, old: nn.Module) -> float:
    """√Σ(θ − θ₀)² over every weight."""
    theirs = dict(old.named_parameters())
    total = 0.0
    for name, weight in new.named_parameters():
        for one, other in zip(weight.flatten().tolist(), theirs[name].flatten().tolist(), strict=True):
            total += (one - other) ** 2
    return math.sqrt(total)


def mean_nll(model: nn.Module, rows: Sequence[Row]) -> float:
    """Mean over all label tokens, in nats."""
    model.eval()
    values = []
    with torch.no_grad():
        for row in rows:
            logits_TV = model(input_ids=torch.tensor([row.ids])).logits[0]
            for at in range(1, len(row.ids)):
                if row.labels[at]:
                    values.append(-float(logits_TV[at - 1].log_softmax(-1)[row.ids[at]]))
    return sum(values) / len(values)


def on_the_line(make: Callable[[], nn.Module], new: nn.Module, old: nn.Module, alpha: float) -> nn.Module:
    """A fresh model whose weights are (1 − α)·θ + α·θ₀; ``make`` builds one of the same shape."""
    model = make()
    theirs, ours = old.state_dict(), new.state_dict()
    model.load_state_dict({name: (1 - alpha) * ours[name] + alpha * theirs[name] for name in ours})
    return model
