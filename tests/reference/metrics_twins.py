"""Literal, slow twins of scoring and metrics: one row at a time, no padding, no cache, no chunks."""

import math
import re
from collections.abc import Collection, Sequence
from typing import Any

import torch
from nltk.stem.porter import PorterStemmer


def next_logits(model: Any, ids: Sequence[int]) -> torch.Tensor:
    """Logits [V] after ``ids``, from one unpadded forward, float64."""
    with torch.no_grad():
        return model(input_ids=torch.tensor([list(ids)])).logits[0, -1].double()


def row_statistics(model: Any, ids: Sequence[int], labels: Sequence[bool]) -> list[dict[str, float]]:
    """For each label token: log p(target), argmax hit, mean and variance of log p under p."""
    found = []
    for place, labelled in enumerate(labels):
        if not labelled:
            continue
        logits = next_logits(model, ids[:place]).tolist()
        top = max(logits)
        total = math.fsum(math.exp(value - top) for value in logits)
        logs = [value - top - math.log(total) for value in logits]
        mean = math.fsum(math.exp(value) * value for value in logs)
        square = math.fsum(math.exp(value) * value**2 for value in logs)
        found.append(
            {
                "logprob": logs[ids[place]],
                "hit": logits.index(top) == ids[place],
                "mean": mean,
                "variance": square - mean**2,
            }
        )
    return found


def stepwise_argmax(model: Any, prompt: Sequence[int], ends: Collection[int], limit: int) -> tuple[int, ...]:
    """Greedy decoding by a fresh forward over everything at each step."""
    ids = list(prompt)
    for _ in range(limit):
        ids.append(int(next_logits(model, ids).argmax()))
        if ids[-1] in ends:
            break
    return tuple(ids[len(prompt) :])


def kl(first: Any, second: Any, ids: Sequence[int], labels: Sequence[bool]) -> list[float]:
    """Σ p log(p/q) at each label token."""
    values = []
    for place, labelled in enumerate(labels):
        if labelled:
            p, q = (next_logits(model, ids[:place]).softmax(0) for model in (first, second))
            values.append(float((p * (p / q).log()).sum()))
    return values


def rouge_l_recall(answer: str, text: str) -> float:
    """Longest common subsequence by the textbook table, over the answer's stemmed words."""
    first, second = _words(answer), _words(text)
    table = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for i, left in enumerate(first):
        for j, right in enumerate(second):
            table[i + 1][j + 1] = table[i][j] + 1 if left == right else max(table[i][j + 1], table[i + 1][j])
    return table[-1][-1] / len(first)


def _words(text: str) -> list[str]:
    stemmer = PorterStemmer()
    words = re.findall(r"[a-z0-9]+", text.lower())
    return [stemmer.stem(word) if len(word) > 3 else word for word in words]


def extraction_strength(hits: Sequence[bool]) -> float:
    """1 − k/m by trying every prefix length k = 0 … m: the first after which all tokens are hits."""
    for k in range(len(hits) + 1):
        if all(hits[k:]):
            return 1 - k / len(hits)
    raise AssertionError("k = m always holds")


def extraction_strength_open_unlearning(hits: Sequence[bool]) -> float:
    """The peer's loop over k = 0 … m−1 of the labels without the last, ending at m−1 whatever it finds."""
    counted = hits[:-1]
    if not counted:
        return 0.0
    k = 0
    for k in range(len(counted)):
        if all(counted[k:]):
            break
    return 1 - k / len(counted)
