"""Familiarity in plain loops: one prompt at a time, the plain model, no cache, no batch."""

import math
from collections.abc import Sequence

import torch

from expunge.knowledge.facts import Probe
from expunge.models.load import LoadedModel
from reference.metrics_twins import stepwise_argmax


def plain_words(text: str) -> list[str]:
    """Lower-case words, punctuation gone."""
    return "".join(sign if sign.isalnum() else " " for sign in text.casefold()).split()


def names(text: str, terms: Sequence[str]) -> set[str]:
    """The one-word terms that stand in a text."""
    return {term for term in terms if term.casefold() in plain_words(text)}


def completed(loaded: LoadedModel, probe: Probe, terms: Sequence[str], tokens: int) -> tuple[float, float]:
    """Whether the greedy continuation names a new term, and whether it names the true one."""
    ids = tuple(loaded.tokenizer(probe.prompt, add_special_tokens=False)["input_ids"])
    made = stepwise_argmax(loaded.model, ids, loaded.encoder.end_ids, tokens)
    text = loaded.tokenizer.decode(made, skip_special_tokens=True)
    new = names(text, terms) - names(probe.prompt, terms)
    return float(bool(new)), float(probe.answer in new)


def probability(loaded: LoadedModel, probe: Probe) -> float:
    """Of all tokens of the true term, one after another."""
    given = loaded.tokenizer(probe.prompt, add_special_tokens=False)["input_ids"]
    ids = loaded.tokenizer(f"{probe.prompt} {probe.answer}", add_special_tokens=False)["input_ids"]
    assert ids[: len(given)] == given
    with torch.no_grad():
        probs_TV = loaded.model(input_ids=torch.tensor([ids])).logits[0].double().softmax(-1)
    return math.prod(float(probs_TV[place - 1, ids[place]]) for place in range(len(given), len(ids)))
