"""Where a token of the gap would have to move for the answers to become likelier.

Shapes: B rows, T positions (padded), L suffix tokens, D width, V vocabulary.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from expunge.attacks.gap import Gap
from expunge.attacks.gap_loss import MAX_TOKENS
from expunge.models.view import View
from expunge.scoring.batching import batches_by_length
from expunge.scoring.generate import Ids
from expunge.scoring.teacher_forced import evaluating


def token_gradient_LV(view: View, gaps: Sequence[Gap], suffix: Ids) -> Tensor:
    """∂ loss / ∂ (share of token v at place i), fp32: the loss's slope along each token's embedding (GCG, eq. 4)."""
    embedding_VD = _embedding_VD(view)
    rows, total_LD = [gap.row(suffix) for gap in gaps], torch.zeros(len(suffix), embedding_VD.shape[1])
    with evaluating(view.model), torch.enable_grad():
        for indices in batches_by_length([len(row.ids) for row in rows], MAX_TOKENS):
            starts = [len(gaps[index].before) for index in indices]
            delta_LD = torch.zeros(total_LD.shape, device=view.device, requires_grad=True)
            with view.perturb("embed", _Shifted(starts, delta_LD)):
                loss = view.forward(view.collate([rows[index] for index in indices])).nll_sum_B().sum()
            # Only what leads to delta is differentiated: no weight gets a gradient.
            total_LD += torch.autograd.grad(loss, delta_LD)[0].cpu()
    return (total_LD / len(gaps)).to(view.device) @ embedding_VD.T


def _embedding_VD(view: View) -> Tensor:
    """What every token is embedded as, fp32; some models scale their matrix (Gemma)."""
    weight: Any = view.anatomy.embed.weight
    with torch.no_grad():
        embedded_VD: Tensor = view.anatomy.embed(torch.arange(len(weight), device=view.device))
    return embedded_VD.float()


class _Shifted:
    """Adds ``delta_LD`` to the embeddings at the gap of every row."""

    def __init__(self, starts: Sequence[int], delta_LD: Tensor) -> None:
        self.delta_LD = delta_LD
        places_L = torch.arange(len(delta_LD), device=delta_LD.device)
        self.places_BL = torch.tensor(starts, device=delta_LD.device)[:, None] + places_L

    def __call__(self, embed_BTD: Tensor) -> Tensor:
        """Out of place, because the embedding's own output may be needed elsewhere."""
        rows_B1 = torch.arange(len(self.places_BL), device=embed_BTD.device)[:, None]
        delta_BLD = self.delta_LD.to(embed_BTD.dtype).expand(len(self.places_BL), -1, -1)
        return embed_BTD.index_put((rows_B1, self.places_BL), delta_BLD, accumulate=True)
