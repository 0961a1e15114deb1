"""The one teacher-forced pass: what a model says at every label token of a row.

Every probability metric is arithmetic on the records made here; nothing else calls a model for scores.
Shapes: N label tokens of a batch, C label tokens of a chunk, V vocabulary, D hidden width.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from expunge.core.errors import InputError
from expunge.models.rows import Row
from expunge.models.view import View

HEAD_CHUNK = 512
"""Label tokens unembedded at a time, so that memory is bounded by 512 × V and not by the batch."""

LOWEST_LOGPROB = -1e4
"""Floor used in the moments only: a token of probability 0 adds 0 · log 0 = 0, not NaN."""

_Content = tuple[tuple[int, ...], tuple[bool, ...]]


class NotANumber(InputError):
    """The model's output is NaN: its weights have diverged."""


@dataclass(frozen=True, slots=True)
class RowScore:
    """One row under one model; the tuples have one entry a label token, in reading order.

    ``logprobs`` log p(target) in nats; ``hits`` target is the argmax; ``means`` and ``variances`` of log p(v) for
    v drawn from the model's own distribution (Min-K%++, arXiv 2404.02936, section 3); ``targets`` the label ids.
    """

    key: str
    logprobs: tuple[float, ...]
    hits: tuple[bool, ...]
    means: tuple[float, ...]
    variances: tuple[float, ...]
    targets: tuple[int, ...]

    @property
    def greedy(self) -> bool:
        """Greedy match, the primary score: every label token is the argmax."""
        return all(self.hits)

    @property
    def nll_sum(self) -> float:
        """Summed negative log-likelihood of the label tokens, in nats."""
        return -math.fsum(self.logprobs)

    @property
    def nll_mean(self) -> float:
        """Negative log-likelihood a label token, in nats."""
        return self.nll_sum / len(self.logprobs)

    @property
    def probability(self) -> float:
        """exp(−``nll_mean``): the geometric mean of the label tokens' probabilities."""
        return math.exp(-self.nll_mean)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Eval mode without gradients; every sub-module's own mode comes back at the end."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module in training:
            module.training = True


def batches_by_length(lengths: Sequence[int], max_tokens: int) -> list[list[int]]:
    """Indices cut into batches of near-equal length whose padded size stays within ``max_tokens``.

    A single row longer than ``max_tokens`` is a batch of its own: nothing is truncated.
    """
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda item: (-lengths[item], item)):
        if batches and (len(batches[-1]) + 1) * lengths[batches[-1][0]] <= max_tokens:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


def score(view: View, rows: Sequence[Row], *, max_tokens: int = 4096) -> list[RowScore]:
    """Score ``rows`` in input order; rows of equal content are computed once and keep their own keys.

    ``max_tokens`` bounds the padded tokens of a batch. :class:`InputError` names a row without a label,
    :class:`NotANumber` a row at which the model's output is not a number.
    """
    for row in rows:
        if not row.num_labels:
            raise InputError(f"row {row.key!r} has no label token; give its answer some text.")
    contents: dict[_Content, Row] = {(row.ids, row.labels): row for row in reversed(rows)}
    unique = list(contents.values())
    computed: dict[_Content, RowScore] = {}
    with evaluating(view.model):
        for indices in batches_by_length([len(row.ids) for row in unique], max_tokens):
            members = [unique[index] for index in indices]
            for row, scored in zip(members, _score_batch(view, members), strict=True):
                computed[row.ids, row.labels] = scored
    return [_renamed(computed[row.ids, row.labels], row.key) for row in rows]


def _renamed(scored: RowScore, key: str) -> RowScore:
    return RowScore(key, scored.logprobs, scored.hits, scored.means, scored.variances, scored.targets)


def _score_batch(view: View, rows: Sequence[Row]) -> list[RowScore]:
    outputs = view.forward(view.collate(rows), logits=False, final_hidden=True)
    columns = token_statistics(view, outputs.final_hidden_ND, outputs.targets_N)
    counts = [row.num_labels for row in rows]
    parts = {name: torch.split(column, counts) for name, column in columns.items()}
    targets = torch.split(outputs.targets_N.cpu(), counts)
    return [_row_score(row, {name: part[i] for name, part in parts.items()}, targets[i]) for i, row in enumerate(rows)]


def token_statistics(view: View, hidden_ND: Tensor, targets_N: Tensor) -> dict[str, Tensor]:
    """log p(target), argmax hit, mean and variance of log p under p, each [N] on the CPU; fp32, chunk by chunk."""
    pairs = zip(torch.split(hidden_ND, HEAD_CHUNK), torch.split(targets_N, HEAD_CHUNK), strict=True)
    chunks = [_chunk_statistics(view.head_logits(hidden_CD), targets_C) for hidden_CD, targets_C in pairs]
    return {name: torch.cat([chunk[name] for chunk in chunks]).cpu() for name in chunks[0]}


def _chunk_statistics(logits_CV: Tensor, targets_C: Tensor) -> dict[str, Tensor]:
    logprobs_CV = logits_CV.log_softmax(-1)
    target_C = logprobs_CV.gather(1, targets_C[:, None])[:, 0]
    hits_C = logits_CV.argmax(-1) == targets_C
    probs_CV, bounded_CV = logprobs_CV.exp(), logprobs_CV.clamp_min(LOWEST_LOGPROB)
    mean_C = (probs_CV * bounded_CV).sum(-1)
    variance_C = (probs_CV * (bounded_CV - mean_C[:, None]).square()).sum(-1)
    return {"logprobs": target_C, "hits": hits_C, "means": mean_C, "variances": variance_C}


def _row_score(row: Row, columns: Mapping[str, Tensor], targets: Tensor) -> RowScore:
    if columns["logprobs"].isnan().any():
        raise NotANumber(f"the model's output at row {row.key!r} is not a number; its weights have diverged.")
    values = {name: tuple(column.tolist()) for name, column in columns.items()}
    return RowScore(row.key, targets=tuple(targets.tolist()), **values)
