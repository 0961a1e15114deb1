"""Changes of weights that change nothing else: what one matrix writes larger, the next one reads smaller.

A scale of a power of two is exact in floating point, so neither the rescaled model nor the way back is off by a bit.
Channels are what may have a scale of its own: a hidden unit of a gated MLP (up, down), a value channel (v, o), and a
key head (k, q; rotary positions mix the channels within one). Where a norm or a clip stands between, there is none.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from expunge.core.errors import InputError
from expunge.core.seeds import derive
from expunge.models.anatomy import Anatomy

Exponents = Mapping[str, Tensor]
"""Powers of two by pair, one a channel."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Views into the weights whose leading dimensions are the channels: scaled by s, and by 1/s."""

    shape: tuple[int, ...]
    larger: tuple[Tensor, ...]
    smaller: tuple[Tensor, ...]

    def scale_(self, exponents: Tensor) -> None:
        """Multiply by 2^e, channel by channel, in place."""
        for parts, sign in ((self.larger, 1), (self.smaller, -1)):
            factors = torch.exp2(sign * exponents.double())
            for part in parts:
                part.mul_(factors.to(part).reshape(self.shape + (1,) * (part.ndim - len(self.shape))))

    def norms(self) -> tuple[Tensor, Tensor]:
        """The norms of what each channel writes and reads."""
        return self._norm(self.larger), self._norm(self.smaller)

    def _norm(self, parts: tuple[Tensor, ...]) -> Tensor:
        squares = [part.reshape(*self.shape, -1).double().square().sum(-1) for part in parts]
        return torch.stack(squares).sum(0).sqrt()


def pairs(model: Any) -> dict[str, Pair]:
    """Every pair of a model by layer, module and kind of channel.

    Raises :class:`InputError` where the layers have none that is known here.
    """
    found = _pairs(model)
    if not found:
        name = type(Anatomy.find(model).model).__name__
        raise InputError(
            f"{name} has neither gated MLPs nor separate attention projections, so its weights cannot be rescaled; "
            "choose another method."
        )
    return found


def _pairs(model: Any) -> dict[str, Pair]:
    anatomy = Anatomy.find(model)
    return {
        f"{layer}.{path}.{kind}": pair
        for layer in range(anatomy.num_layers)
        for path, part in anatomy.block(layer).named_modules()
        for kind, pair in (*_mlp(part), *_attention(part, anatomy.config))
    }


def balance_(model: Any) -> None:
    """Give what each channel writes and what it reads norms within a factor of two, in place; the function stays.

    Whatever a model was rescaled by, its balanced weights are those of the model before, bit for bit. Layers without
    a pair are left as they are.
    """
    for pair in _pairs(model).values():
        larger, smaller = pair.norms()
        pair.scale_(-((larger / smaller).log2() / 2).nan_to_num(0.0, 0.0, 0.0).round())


def drawn(found: Mapping[str, Pair], most: int, seed: int) -> Exponents:
    """Whole exponents from −``most`` to ``most``, uniformly; a pair's draw depends on the seed and its name alone."""
    return {
        name: torch.randint(-most, most + 1, pair.shape, generator=torch.Generator().manual_seed(derive(seed, name)))
        for name, pair in found.items()
    }


def between(rescaled: Mapping[str, Pair], original: Mapping[str, Pair]) -> Exponents:
    """The exponents that lead from the original to the rescaled model, read from the channels' norms.

    Other changes of the weights do not matter as long as they are small beside a factor of two.
    """
    return {name: _exponents(pair.norms(), original[name].norms()) for name, pair in rescaled.items()}


def _exponents(new: tuple[Tensor, Tensor], old: tuple[Tensor, Tensor]) -> Tensor:
    (larger, smaller), (larger_0, smaller_0) = new, old
    found = (larger / larger_0 * smaller_0 / smaller).log2() / 2
    return found.nan_to_num(0.0, 0.0, 0.0).round()


def _mlp(part: nn.Module) -> Iterator[tuple[str, Pair]]:
    """Gated MLPs, and experts stacked in one tensor (gate above up)."""
    down, up = getattr(part, "down_proj", None), getattr(part, "up_proj", None)
    if isinstance(down, nn.Linear) and isinstance(up, nn.Linear) and hasattr(part, "gate_proj"):
        yield "units", Pair((up.out_features,), _rows(up, (up.out_features,)), (down.weight.data.t(),))
    both = getattr(part, "gate_up_proj", None)
    if isinstance(both, nn.Parameter) and isinstance(down, nn.Parameter) and both.shape[1] == 2 * down.shape[2]:
        shape = (down.shape[0], down.shape[2])
        yield "units", Pair(shape, (both.data[:, down.shape[2] :],), (down.data.transpose(1, 2),))


def _attention(part: nn.Module, config: Any) -> Iterator[tuple[str, Pair]]:
    """Values and outputs by channel, keys and queries by head; grouped heads share a scale."""
    q, k, v, o = (getattr(part, f"{name}_proj", None) for name in "qkvo")
    if not (isinstance(q, nn.Linear) and isinstance(k, nn.Linear) and isinstance(v, nn.Linear)):
        return
    if not isinstance(o, nn.Linear) or getattr(config, "clip_qkv", None) is not None:
        return
    width = int(getattr(part, "head_dim", 0)) or config.hidden_size // config.num_attention_heads
    heads, groups = v.out_features // width, o.in_features // v.out_features
    read = o.weight.data.t().view(heads, groups, width, -1).transpose(1, 2)
    yield "values", Pair((heads, width), _rows(v, (heads, width)), (read,))
    if not any(hasattr(part, f"{name}_norm") for name in "qk"):
        yield "keys", Pair((heads,), _rows(k, (heads, width)), _rows(q, (heads, groups * width)))


def _rows(linear: nn.Linear, shape: tuple[int, ...]) -> tuple[Tensor, ...]:
    """A linear map's weight, and bias where it has one, by channel of its output."""
    weight = linear.weight.data.view(*shape, -1)
    return (weight,) if linear.bias is None else (weight, linear.bias.data.view(*shape))
