"""The one teacher-forced pass: what a model says at every label token of a row.

Every probability metric is arithmetic on the records made here; nothing else calls a model for scores.
Shapes: N label tokens of a batch, C label tokens of a chunk, V vocabulary, D hidden width.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Tensor, nn

from expunge.core.errors import InputError
from expunge.distributed.rows import turns
from expunge.distributed.sharding import ranks_of
from expunge.models.rows import Row
from expunge.models.view import View
from expunge.scoring.batching import Part, batches_by_length
from expunge.scoring.memory import fitting_labels
from expunge.scoring.sharing import can_share, groups_of, shared_passes

HEAD_CHUNK = 512
"""Most label tokens unembedded at a time, so that memory is bounded by 512 × V and not by the batch."""

LOWEST_LOGPROB = -1e4
"""Floor used in the moments only: a token of probability 0 adds 0 · log 0 = 0, not NaN."""

STATISTICS = ("logprobs", "hits", "means", "variances")
"""What is kept of the distribution before a label token."""

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


def score(view: View, rows: Sequence[Row], *, max_tokens: int = 4096, share: bool = True) -> list[RowScore]:
    """Score ``rows`` in input order; rows of equal content are computed once and keep their own keys.

    Rows that open with the same prompt compute it once (:mod:`expunge.scoring.sharing`), equal up to rounding to whole
    rows; ``share`` False computes every row whole, as a perturbation that tells rows or positions apart needs it.
    ``max_tokens`` bounds the padded tokens of a batch. The ranks of a model in parts share the batches out; all call
    this, and each gets all scores.
    :class:`InputError` names a row without a label, :class:`NotANumber` a row at which the model's output is not a
    number.
    """
    for row in rows:
        if not row.num_labels:
            raise InputError(f"row {row.key!r} has no label token; give its answer some text.")
    contents: dict[_Content, Row] = {(row.ids, row.labels): row for row in reversed(rows)}
    unique = list(contents.values())
    computed: dict[_Content, RowScore] = {}
    with evaluating(view.model):
        for run, own in turns(_passes(view, unique, max_tokens, share), ranks_of(view.model)):
            part = run()
            scores = _row_scores(view, part)
            if own:
                computed.update(zip([(row.ids, row.labels) for row in part.rows], scores, strict=True))
    computed = ranks_of(view.model).merged(computed)
    return [_renamed(computed[row.ids, row.labels], row.key) for row in rows]


def _renamed(scored: RowScore, key: str) -> RowScore:
    """The score of a row of the same content. Only here, as all ranks must fail alike, is it checked."""
    if any(map(math.isnan, scored.logprobs)):
        raise NotANumber(f"the model's output at row {key!r} is not a number; its weights have diverged.")
    return RowScore(key, scored.logprobs, scored.hits, scored.means, scored.variances, scored.targets)


def _passes(view: View, rows: Sequence[Row], max_tokens: int, share: bool) -> list[Callable[[], Part]]:
    """The passes over ``rows``, not yet run: whole rows, and trees of those that share a prompt."""
    whole, groups = groups_of(rows) if share else (rows, [])
    if groups and not can_share(view, groups):
        whole, groups = rows, []
    batches = batches_by_length([len(row.ids) for row in whole], max_tokens, ranks_of(view.model).size)
    alone = [partial(_whole_pass, view, [whole[index] for index in indices]) for indices in batches]
    return [*alone, *shared_passes(view, groups, max_tokens)]


def _whole_pass(view: View, rows: Sequence[Row]) -> Part:
    outputs = view.forward(view.collate(rows), logits=False, final_hidden=True)
    ends = list(accumulate((row.num_labels for row in rows), initial=0))
    places = [range(*pair) for pair in pairwise(ends)]
    return Part(rows, outputs.final_hidden_ND, outputs.targets_N, places)


def _row_scores(view: View, part: Part) -> list[RowScore]:
    columns = token_statistics(view, part.hidden_ND, part.targets_N) | {"targets": part.targets_N.cpu()}
    values = {name: column.tolist() for name, column in columns.items()}
    pairs = zip(part.rows, part.places, strict=True)
    return [
        _row_score(row, {name: [all_[i] for i in places] for name, all_ in values.items()}) for row, places in pairs
    ]


@torch.no_grad()
def token_statistics(view: View, hidden_ND: Tensor, targets_N: Tensor) -> dict[str, Tensor]:
    """log p(target), argmax hit, mean and variance of log p under p, each [N] on the CPU; fp32, chunk by chunk.

    All chunks work in the same two matrices: a heap that is asked for new ones again and again keeps growing.
    """
    return view.within(partial(_statistics, view, hidden_ND, targets_N))


def _statistics(view: View, hidden_ND: Tensor, targets_N: Tensor) -> dict[str, Tensor]:
    size = min(HEAD_CHUNK, fitting_labels(view.anatomy.config.vocab_size, hidden_ND.device))
    numbers = {name: targets_N.new_empty(len(targets_N), dtype=torch.float32) for name in STATISTICS}
    spare: Tensor | None = None
    for start in range(0, len(targets_N), size):
        part = slice(start, start + size)
        logits_CV = view.head_logits(hidden_ND[part])
        spare = logits_CV.new_empty(2, *logits_CV.shape) if spare is None else spare
        for name, column_C in _chunk_statistics(logits_CV, targets_N[part], *spare[:, : len(logits_CV)]).items():
            numbers[name][part] = column_C
        del logits_CV
    columns = {name: column_N.cpu() for name, column_N in numbers.items()}
    return columns | {"hits": columns["hits"].bool()}


def _chunk_statistics(logits_CV: Tensor, targets_C: Tensor, one_CV: Tensor, two_CV: Tensor) -> dict[str, Tensor]:
    """The numbers of one chunk. Overwrites all three matrices."""
    hits_C = logits_CV.argmax(-1) == targets_C
    logprobs_CV = torch.log_softmax(logits_CV, -1, out=one_CV)
    target_C = logprobs_CV.gather(1, targets_C[:, None])[:, 0]
    probs_CV = torch.exp(logprobs_CV, out=two_CV)
    bounded_CV = logprobs_CV.clamp_min_(LOWEST_LOGPROB)
    mean_C = torch.mul(probs_CV, bounded_CV, out=logits_CV).sum(-1)
    variance_C = bounded_CV.sub_(mean_C[:, None]).square_().mul_(probs_CV).sum(-1)
    return {"logprobs": target_C, "hits": hits_C, "means": mean_C, "variances": variance_C}


def _row_score(row: Row, columns: Mapping[str, Sequence[Any]]) -> RowScore:
    return RowScore(row.key, **{name: tuple(column) for name, column in columns.items()})
