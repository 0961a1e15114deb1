"""Greedy coordinate gradient: exchange one token at a time, where the gradient says that it may pay.

Zou et al. (arXiv 2307.15043), algorithms 1 and 2, with all questions from the start. Shapes: L suffix tokens,
V vocabulary.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import torch
from torch import Tensor

from expunge.attacks.gap_loss import GapLoss
from expunge.attacks.token_gradient import token_gradient_LV
from expunge.core.errors import InputError
from expunge.scoring.generate import Ids

DRAWS = 8
"""Draws a wanted candidate: repeated and unsendable ones are thrown away, and none may be left."""


@dataclass(frozen=True, slots=True)
class Found:
    """The best suffix after some steps, and its loss in nats an answer."""

    suffix: Ids
    loss: float


@dataclass(frozen=True)
class Search:
    """One search. ``allowed`` are the ids that a suffix is made of.

    ``fits`` says whether one may be tried, ``sure`` whether it may be kept: a dearer question, asked of the best only.
    ``candidates`` are tried a step, drawn from the ``top_k`` tokens of each place that the gradient likes best.
    """

    loss: GapLoss
    allowed: Sequence[int]
    fits: Callable[[Ids], bool]
    candidates: int
    top_k: int
    stream: random.Random = field(repr=False)
    sure: Callable[[Ids], bool] = lambda _suffix: True

    def path(self, start: Ids, steps: int) -> list[Found]:
        """What is best after 0, 1 … ``steps`` steps; the loss never rises, the length never changes.

        GCG goes on from the best candidate even where it is worse and keeps the best for the end; here a step without
        a better candidate keeps the suffix and draws anew. Raises :class:`InputError` where the first step finds no
        candidate that may be tried.
        """
        path, liked_LK = [Found(start, self.loss.of([start])[0])], self._liked_LK(start)
        for step in range(steps):
            tried = self._tried(path[-1].suffix, liked_LK)
            if not step and not tried:
                raise InputError("no exchange of one token survives as text; let the attack send tokens.")
            path.append(self._better(path[-1], tried))
            if path[-1] != path[-2] and step + 1 < steps:
                liked_LK = self._liked_LK(path[-1].suffix)
        return path

    def _tried(self, suffix: Ids, liked_LK: Tensor) -> list[Ids]:
        """This step's candidates."""
        drawn = islice(exchanges(suffix, liked_LK, self.stream), DRAWS * self.candidates)
        return list(islice(filter(self.fits, _new(drawn, suffix)), self.candidates))

    def _better(self, now: Found, tried: Sequence[Ids]) -> Found:
        """The best candidate that may be kept where it is better, else ``now``."""
        losses = self.loss.of(tried, now.suffix) if tried else []
        ranked = sorted((Found(*pair) for pair in zip(tried, losses, strict=True)), key=lambda found: found.loss)
        better = (found for found in ranked if found.loss < now.loss and self.sure(found.suffix))
        return next(better, now)

    def _liked_LK(self, suffix: Ids) -> Tensor:
        """Ids of the tokens of steepest descent at each place."""
        gradient_LV = token_gradient_LV(self.loss.view, self.loss.gaps, suffix)
        return liked(gradient_LV, self.allowed, self.top_k)


def liked(gradient_LV: Tensor, allowed: Sequence[int], top_k: int) -> Tensor:
    """Ids LK of the ``top_k`` allowed tokens with the most negative gradient at each place."""
    allowed_A = torch.tensor(allowed, device=gradient_LV.device)
    places_LK = (-gradient_LV[:, allowed_A]).topk(min(top_k, len(allowed)), dim=1).indices
    return allowed_A[places_LK].cpu()


def exchanges(suffix: Ids, liked_LK: Tensor, stream: random.Random) -> Iterator[Ids]:
    """Endless draws: a place, uniformly, and one of its liked tokens, uniformly."""
    tokens = liked_LK.tolist()
    while True:
        place = stream.randrange(len(suffix))
        yield (*suffix[:place], stream.choice(tokens[place]), *suffix[place + 1 :])


def _new(drawn: Iterator[Ids], present: Ids) -> Iterator[Ids]:
    seen = {present}
    for candidate in drawn:
        if candidate not in seen:
            seen.add(candidate)
            yield candidate
