"""How much is computed at once, by the memory that it takes."""

import torch

from expunge.distributed.sharding import ranks_of
from expunge.models.view import View

HEAD_BYTES = 8 * 2**20
"""Bytes of one fp32 matrix of logits on a processor, of which three are held at a time. Our choice: half as much is
slower, since the unembedding's weights are read once a matrix."""

ACTIVATION_BYTES = 16 * 2**20
"""Bytes of a batch's activations in one block on a processor; four times as much was slower. Our choice."""

CACHE_BYTES = 768 * 2**20
"""Bytes of a generation batch's keys and values on a processor. Our choice."""

FREE_SHARE = 8
"""On an accelerator, what is sized here takes one part in this many of the free memory. Our choice."""

LEAST, MOST = 256, 16384
"""Bounds of the numbers of tokens. Our choice."""


def fitting_labels(vocabulary: int, device: torch.device) -> int:
    """Label tokens to unembed at a time on a processor; elsewhere there is no bound but the caller's.

    Never fewer than 16: a product of one or two rows takes another kernel, which rounds otherwise.
    """
    return max(16, HEAD_BYTES // (4 * vocabulary)) if device.type == "cpu" else MOST


def fitting_tokens(view: View) -> int:
    """Padded tokens of a scoring batch whose activations fit comfortably into memory.

    Counted are what one block holds at its widest, 3 × MLP width (gate, up, product) and 6 × model width a token: in a
    pass without gradients no two blocks' activations exist at once.
    """
    config = view.anatomy.config
    mlp = getattr(config, "intermediate_size", None) or getattr(config, "n_inner", None) or 4 * config.hidden_size
    experts = getattr(config, "num_experts_per_tok", None) or 1
    return _tokens(view, ACTIVATION_BYTES, 3 * mlp * experts + 6 * config.hidden_size)


def fitting_cache(view: View) -> int:
    """Padded tokens of a generation batch, new ones included, whose keys and values fit comfortably into memory."""
    config = view.anatomy.config
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return _tokens(view, CACHE_BYTES, 2 * view.anatomy.num_layers * heads * width)


def _tokens(view: View, budget: int, numbers: int) -> int:
    """Tokens of so many numbers each, in the model's precision; the same on all ranks that share it."""
    if view.device.type == "cuda":
        budget = min(ranks_of(view.model).gathered(torch.cuda.mem_get_info(view.device)[0] // FREE_SHARE))
    size = next(view.anatomy.model.parameters()).element_size()
    return min(MOST, max(LEAST, budget // (numbers * size)))
