"""How hard a fact is, in plain loops: one unpadded pass of the plain model a probe."""

import math
from typing import Any

import torch

from expunge.knowledge.facts import Fact
from expunge.models.load import LoadedModel


def losses(loaded: LoadedModel, probe: Any) -> list[float]:
    """Minus log-probability of every answer token (and the end token) of a question under the template ``plain``."""
    given = f"Question: {probe.prompt.strip()}\nAnswer:"
    whole = loaded.tokenizer(f"{given} {probe.answer}", add_special_tokens=False)["input_ids"]
    first = len(loaded.tokenizer(given, add_special_tokens=False)["input_ids"])
    ids = [*whole, loaded.tokenizer.eos_token_id]
    with torch.no_grad():
        logs_TV = loaded.model(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1)
    return [-float(logs_TV[place - 1, ids[place]]) for place in range(first, len(ids))]


def ease(loaded: LoadedModel, fact: Fact) -> float:
    """Mean loss a token, meaned over the fact's questions; little is hard."""
    means = []
    for probe in fact.probes:
        if probe.prompt:
            row = losses(loaded, probe)
            means.append(math.fsum(row) / len(row))
    return math.fsum(means) / len(means)


def hardest_subjects(loaded: LoadedModel, facts: tuple[Fact, ...], num: int) -> set[str]:
    """The subjects of least mean loss."""
    subjects: dict[str, list[float]] = {}
    for fact in facts:
        subjects.setdefault(fact.subject, []).append(ease(loaded, fact))
    return set(sorted(subjects, key=lambda name: math.fsum(subjects[name]) / len(subjects[name]))[:num])
