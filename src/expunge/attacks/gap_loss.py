"""What a model makes of the answers behind a gap, for many suffixes at a time.

Everything before the gap is the same for all candidates of a question and in all steps, so its keys and values are
computed once a search, and those of the suffix up to where candidates begin to differ once a step. Where a model's
cache cannot be gone on from, all is computed with every candidate.
Shapes: C candidates, L suffix tokens, T positions from the gap on, n label tokens of a question.
"""

import copy
import inspect
from collections.abc import Sequence
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

from expunge.attacks.gap import Gap
from expunge.models.view import View
from expunge.scoring.generate import Ids
from expunge.scoring.teacher_forced import evaluating

MAX_TOKENS = 4096
"""Padded tokens of one forward pass, as in scoring."""

CUTS = 4
"""Places of a suffix up to which a step's candidates may share it: more would spare tokens and make batches small."""

Pasts = list[Any]
"""The cache of a beginning, one a question; ``None`` where there is none."""


class GapLoss:
    """Loss of a suffix: the summed NLL of an answer's tokens in nats, averaged over the questions."""

    def __init__(self, view: View, gaps: Sequence[Gap]) -> None:
        self.view, self.gaps, self.cached = view, tuple(gaps), goes_on(view)
        self.known: dict[Ids, Pasts] = {(): self._pasts([None] * len(gaps), [gap.before for gap in gaps])}

    def of(self, candidates: Sequence[Ids], near: Ids = ()) -> list[float]:
        """The loss of each candidate; all have one length.

        What a candidate shares with ``near`` up to the cut before their first difference is computed once for all.
        """
        losses = [0.0] * len(candidates)
        for begun, members in self._groups(candidates, near).items():
            found = self._mean_C(begun, [candidates[member] for member in members])
            for member, loss in zip(members, found.tolist(), strict=True):
                losses[member] = loss
        return losses

    def _groups(self, candidates: Sequence[Ids], near: Ids) -> dict[Ids, list[int]]:
        """Candidates by the beginning of ``near`` that they go on from."""
        every = -(-len(near) // CUTS) or 1
        groups: dict[Ids, list[int]] = {}
        for place, candidate in enumerate(candidates):
            pairs = zip(candidate[:-1], near, strict=False) if self.cached else ()
            same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
            groups.setdefault(near[: same // every * every], []).append(place)
        # What no longer is a beginning of the present suffix is not asked for again.
        self.known = {begun: pasts for begun, pasts in self.known.items() if begun == near[: len(begun)]}
        return dict(sorted(groups.items(), key=lambda item: len(item[0])))

    def _mean_C(self, begun: Ids, candidates: Sequence[Ids]) -> Tensor:
        """The loss of candidates that all open with ``begun``."""
        rest_CL = torch.tensor([candidate[len(begun) :] for candidate in candidates], device=self.view.device)
        if begun not in self.known:
            nearest = max((other for other in self.known if other == begun[: len(other)]), key=len)
            more = begun[len(nearest) :]
            self.known[begun] = self._pasts(self.known[nearest], [more] * len(self.gaps))
        with evaluating(self.view.model):
            parts = [self._nll_C(*pair, rest_CL) for pair in zip(self.gaps, self.known[begun], strict=True)]
        return torch.stack(parts).double().mean(0)

    def _pasts(self, pasts: Pasts, ids: Sequence[Ids]) -> Pasts:
        """Keys and values of a beginning of every question and its suffix; they go on from ``pasts``."""
        if not self.cached:
            return [None] * len(ids)
        with evaluating(self.view.model):
            return [self._past(past, given) for past, given in zip(pasts, ids, strict=True)]

    def _past(self, past: Any | None, ids: Ids) -> Any:
        ids_1T = torch.tensor([ids], device=self.view.device)
        output: Any = self.view.anatomy.stack(input_ids=ids_1T, past_key_values=copy.deepcopy(past), use_cache=True)
        return output.past_key_values

    def _nll_C(self, gap: Gap, past: Any | None, rest_CL: Tensor) -> Tensor:
        """Summed NLL of the question's labels under each candidate, in chunks that bound memory."""
        length = len(gap.before) + rest_CL.shape[1] + len(gap.after)
        chunks = torch.split(rest_CL, max(1, MAX_TOKENS // length))
        return torch.cat([self._chunk(gap, past, chunk_CL) for chunk_CL in chunks])

    def _chunk(self, gap: Gap, past: Any | None, chunk_CL: Tensor) -> Tensor:
        count, head = len(chunk_CL), () if self.cached else gap.before
        ids_CT = torch.cat([_tiled(head, chunk_CL), chunk_CL, _tiled(gap.after, chunk_CL)], 1)
        # Each chunk needs a copy anyway, because a forward pass appends to the cache that it is given.
        repeated: Any | None = copy.deepcopy(past)
        if repeated is not None:
            repeated.batch_repeat_interleave(count)
        # Nothing is predicted from the last token.
        output: Any = self.view.anatomy.stack(
            input_ids=ids_CT[:, :-1], past_key_values=repeated, use_cache=repeated is not None
        )
        start = len(head) + chunk_CL.shape[1]
        places_n = torch.tensor(
            [start + place for place, label in enumerate(gap.labels) if label], device=ids_CT.device
        )
        logits_NV = self.view.head_logits(output.last_hidden_state[:, places_n - 1].flatten(0, 1))
        nll_N = functional.cross_entropy(logits_NV, ids_CT[:, places_n].flatten(), reduction="none")
        return nll_N.view(count, -1).sum(1)


def goes_on(view: View) -> bool:
    """Whether the model keeps keys and values of every block in a cache that many texts can go on from.

    Recurrent states and blocks that read each other's keys are left alone.
    """
    config = view.anatomy.config
    takes_cache = "past_key_values" in inspect.signature(view.anatomy.stack.forward).parameters
    if not takes_cache or getattr(config, "num_kv_shared_layers", False):
        return False
    return {type(layer) for layer in DynamicCache(config=config).layers} <= {DynamicLayer, DynamicSlidingWindowLayer}


def _tiled(ids: Ids, like_CL: Tensor) -> Tensor:
    """``ids`` once for every row of ``like_CL``."""
    return torch.tensor([ids], dtype=torch.long, device=like_CL.device).expand(len(like_CL), -1)
