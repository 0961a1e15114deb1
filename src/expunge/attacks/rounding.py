"""Ways to write a weight in few bits and read it back; our own, and those of optional packages."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from expunge.combine.rounding import rtn
from expunge.core.errors import InputError

__all__ = ["FOREIGN", "rtn"]


def _package(name: str, scheme: str) -> Any:
    """An optional package; :class:`InputError` names the extra that brings it."""
    try:
        return importlib.import_module(name)
    except ImportError:
        package = name.partition(".")[0]
        raise InputError(f"quantisation scheme {scheme!r} needs {package}; install expunge[quant].") from None


def _torchao_int8() -> Callable[[Tensor], Tensor]:
    """Weight-only int8 by output channel, as torchao stores it."""
    torchao = _package("torchao.quantization", "torchao_int8")

    def dequantised(weight_OI: Tensor) -> Tensor:
        linear = nn.Linear(weight_OI.shape[1], weight_OI.shape[0], bias=False, device=weight_OI.device)
        linear.weight = nn.Parameter(weight_OI.clone(), requires_grad=False)
        torchao.quantize_(linear, torchao.Int8WeightOnlyConfig())
        packed: Any = linear.weight
        found: Tensor = packed.dequantize()
        return found

    return dequantised


def _bnb_int8() -> Callable[[Tensor], Tensor]:
    """LLM.int8()'s weights: int8 by output channel from fp16; its fp16 outlier activations are not imitated."""
    bnb = _package("bitsandbytes.functional", "bnb_int8")

    def dequantised(weight_OI: Tensor) -> Tensor:
        codes_OI, scales_O, _ = bnb.int8_vectorwise_quant(weight_OI.half().contiguous())
        found: Tensor = bnb.int8_vectorwise_dequant(codes_OI, scales_O)
        return found

    return dequantised


def _bnb_nf4() -> Callable[[Tensor], Tensor]:
    """NF4 in blocks of 64 entries, the default of bitsandbytes."""
    bnb = _package("bitsandbytes.functional", "bnb_nf4")

    def dequantised(weight_OI: Tensor) -> Tensor:
        packed, state = bnb.quantize_4bit(weight_OI.contiguous(), blocksize=64, quant_type="nf4")
        found: Tensor = bnb.dequantize_4bit(packed, state)
        return found

    return dequantised


FOREIGN: Mapping[str, tuple[int, Callable[[], Callable[[Tensor], Tensor]]]] = {
    "torchao_int8": (8, _torchao_int8),
    "bnb_int8": (8, _bnb_int8),
    "bnb_nf4": (4, _bnb_nf4),
}
"""Schemes of other packages: their bits, and what loads them and returns weight OI → dequantised weight OI."""
