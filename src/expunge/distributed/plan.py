"""How much memory each rank of a run will hold, said before the model is loaded and compared with what it held."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from expunge.core.errors import InputError
from expunge.distributed.sharding import Layout
from expunge.models.anatomy import Anatomy

GB = 10**9
MASTER = 4
"""Bytes of a float32 number."""
MOMENTS = {"adamw": 2, "sgd": 0}
"""Tensors that an optimizer keeps for each weight."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Numbers of weights: in the whole model, in its largest block, and outside of the blocks."""

    total: int
    block: int
    outside: int


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Bytes that one rank holds, by purpose; without ``besides``: activations depend on the rows, for one."""

    ranks: int
    training: Mapping[str, float]
    loading: float
    besides: str = "activations"

    @property
    def peak(self) -> float:
        """The most at any time: while the whole model is read, or in training."""
        return max(self.loading, sum(self.training.values()))

    def __str__(self) -> str:
        """One sentence."""
        parts = ", ".join(f"{name} {size / GB:.2f}" for name, size in self.training.items())
        return (
            f"memory plan for each of {self.ranks} processes, in GB: {parts}; "
            f"{self.loading / GB:.2f} while the model is read; at most {self.peak / GB:.2f}, and {self.besides}."
        )


def sizes_of(model: Any) -> Sizes:
    """The sizes of a model; one on the meta device will do."""
    blocks = [sum(weight.numel() for weight in block.parameters()) for block in Anatomy.find(model).blocks]
    total = sum(weight.numel() for weight in model.parameters())
    return Sizes(total, max(blocks), total - sum(blocks))


def sizes_in(folder: Path) -> Sizes | None:
    """The sizes of the model in ``folder``, from its config alone; ``None`` where there is none."""
    from transformers import AutoConfig, AutoModelForCausalLM

    if not (folder / "config.json").is_file():
        return None
    build: Any = AutoModelForCausalLM
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        with torch.device("meta"):
            model = build.from_config(config)
            model.tie_weights()
            return sizes_of(model)
    except (ValueError, KeyError, OSError) as error:
        raise InputError(
            f"the config in {folder} cannot be read ({error}); check that it is a language model."
        ) from error


def memory_plan(sizes: Sizes, layout: Layout, optimizer: str, copies: float, moving: float = 1.0) -> MemoryPlan:
    """The plan. ``copies`` are the tensors that smoothing holds for each moving weight, ``moving`` their share of all.

    Gathered at once are what lies outside the blocks and two blocks (one computes while the next one comes), and as
    much again of whole gradients of one of them and of the outside.
    """
    shard = MASTER * sizes.total / layout.world_size
    wide = {"fp32": 4, "bf16": 2}[layout.gathered]
    gathered = wide * (2 * sizes.outside + 3 * sizes.block) if layout.world_size > 1 else 0.0
    training = {
        "weights": shard,
        "gradients": shard * moving,
        "optimizer": shard * moving * MOMENTS[optimizer],
        "smoothing": shard * moving * copies,
        # The first step keeps a copy to see that something moved: when no perturbation is held, and no average yet.
        "first step": shard * moving * max(0.0, 1.0 - copies),
        "gathered blocks": gathered,
    }
    return MemoryPlan(layout.world_size, training, MASTER * sizes.total * (1 + 1 / layout.world_size))


def copies_of(smoother: Any) -> float:
    """Tensors that a smoother holds for each weight: averages 1, a perturbed gradient 2 (the shift, the saved weights).

    Random smoothing also sums gradients: 3, as it says itself. Others of more than two points keep two: 4.
    """
    if (own := getattr(smoother, "copies", None)) is not None:
        return float(own)
    if smoother.family == "averaging":
        return 1.0 + copies_of(smoother.wrapped)
    if smoother.family in ("none", "activations") or smoother.points <= 1:
        return 0.0
    return 2.0 if smoother.points <= 2 else 4.0


def held() -> int:
    """The most bytes this process has held so far: on its GPU where it has one, else resident."""
    import resource
    import sys

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
