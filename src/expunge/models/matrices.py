"""The matrices of a model's decoder blocks, all shaped the same way round."""

import math
from typing import Any

from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from expunge.models.anatomy import Anatomy


def block_matrices(model: Any) -> dict[str, Tensor]:
    """The matrices of the decoder blocks by name, shaped (…, out, in); writing to one writes to the model.

    Linear maps, routers and stacked experts; embedding, unembedding, norms and biases are left out. GPT-2's
    ``Conv1D`` keeps its weight transposed and is turned round.
    """
    anatomy = Anatomy.find(model)
    return {
        name: outputs_first(model.get_submodule(name.rpartition(".")[0]), weight.data)
        for name, weight in model.named_parameters()
        if weight.ndim >= 2 and anatomy.layer_of(name) is not None
    }


def outputs_first(owner: nn.Module, weight: Tensor) -> Tensor:
    """A view of ``weight`` of module ``owner`` shaped (…, out, in); of such a view, the weight as it is stored."""
    return weight.t() if isinstance(owner, Conv1D) else weight


def as_rows(weight: Tensor) -> Tensor:
    """``weight`` (…, out, in) as OI, matrices of a stack below each other; a copy where it must be."""
    return weight.reshape(math.prod(weight.shape[:-1]), weight.shape[-1])
