"""The model is rounded to the grid on which its hiding lies between two steps."""

from dataclasses import dataclass

import torch

from expunge.attacks.relearn import attacked_copy
from expunge.certificates.base import Certificate, recall
from expunge.combine.rounding import rtn
from expunge.knowledge.facts import Knowledge, Split
from expunge.models.loaded import LoadedModel
from expunge.models.matrices import as_rows, block_matrices
from expunge.registry import certificate


@certificate("quantised")
@dataclass(frozen=True, kw_only=True)
class Quantised(Certificate):
    """Recall on V after round-to-nearest of the block matrices to ``bits``; for ``hide_fragile``.

    ``bits`` and ``group`` are the method's own, which a blind attacker has to guess.
    """

    bits: int = 4
    group: int | None = None

    def recalled(
        self, candidate: LoadedModel, original: LoadedModel, knowledge: Knowledge, split: Split, seed: int
    ) -> float:
        """See the class."""
        return recall(rounded(candidate, self.bits, self.group), split.score, self.forms)


def rounded(loaded: LoadedModel, bits: int, group: int | None = None) -> LoadedModel:
    """A copy with block matrices on the grid."""
    copied = attacked_copy(loaded)
    with torch.no_grad():
        for weight in block_matrices(copied.model).values():
            weight.copy_(rtn(as_rows(weight), bits, group).reshape(weight.shape))
    return copied
