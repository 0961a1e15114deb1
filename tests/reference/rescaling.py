"""Slow twins of rescaling and of the box of a grid: a number at a time."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def rescaled(model: Any, exponents: Mapping[str, Tensor]) -> None:
    """Rescale a Llama-like model in place, channel by channel."""
    config = model.config
    heads, width = config.num_key_value_heads, config.head_dim
    groups = config.num_attention_heads // heads
    with torch.no_grad():
        for layer, block in enumerate(model.model.layers):
            mlp, attention = block.mlp, block.self_attn
            for unit, power in enumerate(exponents[f"{layer}.mlp.units"].tolist()):
                _times(mlp.up_proj, unit, 2.0**power)
                mlp.down_proj.weight[:, unit] *= 2.0**-power
            for head in range(heads):
                for channel in range(width):
                    power = int(exponents[f"{layer}.self_attn.values"][head, channel])
                    _times(attention.v_proj, head * width + channel, 2.0**power)
                    for group in range(groups):
                        reader = (head * groups + group) * width + channel
                        attention.o_proj.weight[:, reader] *= 2.0**-power
                power = int(exponents[f"{layer}.self_attn.keys"][head])
                for channel in range(width):
                    _times(attention.k_proj, head * width + channel, 2.0**power)
                    for group in range(groups):
                        _times(attention.q_proj, (head * groups + group) * width + channel, 2.0**-power)


def _times(linear: Any, row: int, factor: float) -> None:
    linear.weight[row] *= factor
    if linear.bias is not None:
        linear.bias[row] *= factor


def bounds(weight: Tensor, bits: int, room: float) -> tuple[Tensor, Tensor]:
    """Least and greatest value of every entry that lies on the grid of its row."""
    levels = 2 ** (bits - 1) - 1
    least, greatest = weight.clone(), weight.clone()
    for o in range(weight.shape[0]):
        step = max(abs(float(value)) for value in weight[o]) / levels
        for i in range(weight.shape[1]):
            if step and round(abs(float(weight[o, i])) / step) < levels:
                least[o, i] -= room * step
                greatest[o, i] += room * step
    return least, greatest
