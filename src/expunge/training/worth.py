"""Terms of a pass in which some rank computes fillers: what a filler's rows say gets the weight 0."""

from collections.abc import Callable
from dataclasses import replace

import torch

from expunge.objectives.base import Term
from expunge.training.batches import AbsentStream, MicroBatch


def worth(make: Callable[[MicroBatch], list[Term]], micro: MicroBatch) -> list[Term]:
    """``make(micro)``, the terms that read a stream with fillers weighted 0 on the ranks that have them.

    A term reads a stream if it is gone where the stream is. All ranks find that out together, since every pass is a
    collective; on one process, and wherever the rows suffice, nothing is idle anywhere.
    """
    terms = make(micro)
    dropped: set[str] = set()
    for stream in sorted(micro.blind):
        left = _names(make, micro.without(stream))
        dropped |= {term.name for term in terms if term.name not in left} if stream in micro.idle else set()
    return [
        replace(term, weights_B=torch.zeros_like(term.weights_B)) if term.name in dropped else term for term in terms
    ]


def _names(make: Callable[[MicroBatch], list[Term]], micro: MicroBatch) -> set[str]:
    try:
        with torch.no_grad():
            return {term.name for term in make(micro)}
    except AbsentStream:
        return set()
