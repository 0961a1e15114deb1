"""Slow twins of relearning, and tiny models that suppress what they know by a hair."""

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch

from expunge.attacks.relearn import attacked_copy
from expunge.models.load import LoadedModel
from expunge.models.rows import Row
from expunge.scoring.probes import Asked, ask
from reference import tampering as made
from reference.metrics_world import facts


def logprob(model: Any, row: Row) -> Any:
    """Summed log-probability of the label tokens under a plain model."""
    logprobs = model(input_ids=torch.tensor([row.ids])).logits[0].log_softmax(-1)
    return torch.stack([logprobs[t - 1, row.ids[t]] for t in range(len(row.ids)) if row.labels[t]]).sum()


def fine_tune(model: Any, rows: Sequence[Row], rates: Sequence[float], clip: float = 1.0) -> None:
    """One AdamW step on all rows at each of these rates, written out."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.0, weight_decay=0.0)
    labels = sum(sum(row.labels) for row in rows)
    for rate in rates:
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        (-sum(logprob(model, row) for row in rows) / labels).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
    model.zero_grad()


def said(model: Any, prompt: Sequence[int], end: Sequence[int], tokenizer: Any, most: int = 64) -> str:
    """What the plain model writes, one argmax after the other."""
    ids = list(prompt)
    for _ in range(most):
        with torch.no_grad():
            token = int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax())
        if token in end:
            break
        ids.append(token)
    return str(tokenizer.decode(ids[len(prompt) :]))


def whole_word(word: str, text: str) -> bool:
    """Whether a word stands in a text by itself."""
    return word.casefold() in re.findall(r"\w+", text.casefold())


def scores(loaded: LoadedModel, asked: Sequence[Asked]) -> list[float]:
    """Log-probabilities, a row at a time."""
    with torch.no_grad():
        return [float(logprob(loaded.model, item.row)) for item in asked]


@cache
def brink() -> LoadedModel:
    """Knew facts 0–5 and just about answers none of V (3–5): on the line towards ascent, found by halving."""
    start, end = made.knows(), attacked_copy(made.knows())
    rows = [item.row for item in ask(facts(0, 6), end.encoder, ("qa",))]
    optimizer = torch.optim.Adam(end.model.parameters(), lr=1e-3)
    while any(made.answers(end)):
        optimizer.zero_grad()
        sum(logprob(end.model, row) for row in rows).backward()
        optimizer.step()
    end.model.zero_grad()
    low, high = 0.0, 1.0
    for _ in range(16):
        middle = (low + high) / 2
        low, high = (middle, high) if any(made.answers(between(start, end, middle))) else (low, middle)
    return between(start, end, high)


def between(start: LoadedModel, end: LoadedModel, share: float) -> LoadedModel:
    """A model on the line between two."""
    loaded = attacked_copy(start)
    far = dict(end.model.named_parameters())
    with torch.no_grad():
        for name, weight in loaded.model.named_parameters():
            weight.lerp_(far[name], share)
    return loaded
