"""Compute precision. Master weights are float32 always; bfloat16 is only ever what the forward pass computes in."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Literal

import torch

from expunge.core.errors import InputError
from expunge.training.config import PrecisionName

Precision = Literal["fp32", "bf16"]


def resolve(wanted: PrecisionName, device: torch.device) -> Precision:
    """``auto`` is bf16 only where the device computes it natively: elsewhere it is many times slower than fp32.

    Raises :class:`InputError` when bf16 is asked for on a GPU that has none.
    """
    if device.type == "cuda":
        if torch.cuda.is_bf16_supported():
            return "fp32" if wanted == "fp32" else "bf16"
        if wanted == "bf16":
            raise InputError("this GPU has no bfloat16; use precision fp32.")
        return "fp32"
    if wanted != "auto":
        return wanted
    native = device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()
    return "bf16" if native else "fp32"


def computing(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """The context of a forward pass in ``precision``."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Random state drawn from ``seed`` inside the block, the caller's own afterwards.

    A pass's randomness (dropout) is thus a pure function of its seed: passes of one step see the same draw, measuring
    between steps changes nothing, and a resumed run needs no stored state.
    """
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
