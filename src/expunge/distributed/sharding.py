"""A model in parts: FSDP2 (``fully_shard``) over its decoder blocks, and a check that it came out as asked.

Masters and reductions are float32 (or float64, in tests). The forward pass computes in what blocks are gathered as:
with ``gathered`` bf16 that is FSDP2's ``MixedPrecisionPolicy``, half the memory and traffic; with fp32 autocast does
it, as on one process, and single passes can run in full precision (see ``training/precision.py``).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import CPUOffloadPolicy, FSDPModule, MixedPrecisionPolicy, OffloadPolicy, fully_shard
from torch.distributed.fsdp import register_fsdp_forward_method as as_forward
from torch.distributed.tensor import DTensor

from expunge.core.errors import InputError
from expunge.distributed.ranks import ALONE, Ranks, device_type, grouped, present
from expunge.models.anatomy import Anatomy, unwrap
from expunge.models.outputs import Outputs
from expunge.models.view import WHOLE

SHARDING = "expunge_sharding"


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How a model is to be spread. ``gathered`` is the type that a block has while it computes.

    ``activation_checkpointing`` recomputes each block in the backward pass. ``cpu_offload`` keeps shards, gradients
    and optimizer on the CPU, for GPUs.
    """

    world_size: int
    gathered: Literal["fp32", "bf16"] = "fp32"
    activation_checkpointing: bool = False
    cpu_offload: bool = False


@dataclass(frozen=True)
class Sharding:
    """What a model in parts knows of itself."""

    layout: Layout
    ranks: Ranks


def sharding_of(model: nn.Module) -> Sharding | None:
    """How ``model`` (or what an adapter wraps) is spread; ``None`` where it is whole."""
    return getattr(unwrap(model), SHARDING, None)


def ranks_of(model: nn.Module) -> Ranks:
    """The ranks that work on ``model`` together."""
    found = sharding_of(model)
    return found.ranks if found else ALONE


def shard(model: Any, layout: Layout) -> None:
    """Spread ``model``, the same on every rank, over the ranks of the present process group, in place.

    Raises :class:`InputError` when the group, the weights or the result are not what ``layout`` asks for.
    """
    ranks = present()
    _check_asked(model, layout, ranks)
    anatomy = Anatomy.find(model)
    settings: dict[str, Any] = {
        "mesh": init_device_mesh(device_type(), (ranks.size,)),
        "mp_policy": _POLICIES[layout.gathered](),
        "offload_policy": CPUOffloadPolicy() if layout.cpu_offload else OffloadPolicy(),
        # Weights may change between any two passes, so nothing stays gathered after one.
        "reshard_after_forward": True,
    }
    if layout.activation_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    for block in anatomy.blocks:
        fully_shard(block, **settings)
    fully_shard(model, **settings)
    for part in _parts(model):
        # The loop divides by the weights of all ranks' rows; reductions are sums.
        part.set_gradient_divide_factor(1.0)
        part.set_force_sum_reduction_for_comms(True)
    setattr(model, WHOLE, _whole_pass(anatomy))
    as_forward(model, WHOLE)
    setattr(model, SHARDING, Sharding(layout, ranks))
    check_obtained(model, layout)


def shard_among_all(model: Any) -> None:
    """Spread ``model`` over the processes of the group, in place; it stays whole where there is no group."""
    if grouped():
        shard(model, Layout(world_size=present().size))


def shard_as(model: Any, other: nn.Module) -> None:
    """Spread ``model`` as ``other`` is, in place; it stays whole where ``other`` is."""
    found = sharding_of(other)
    if found is not None:
        shard(model, found.layout)


def check_obtained(model: nn.Module, layout: Layout) -> None:
    """Refuse a model any weight of which is not a float32 shard over as many ranks as were asked for."""
    for name, weight in model.named_parameters():
        if not isinstance(weight, DTensor):
            raise InputError(f"weight {name} was not sharded; this model cannot be spread over processes.")
        if weight.device_mesh.size() != layout.world_size or not weight.placements[0].is_shard():
            raise InputError(f"weight {name} lies on {weight.device_mesh.size()} ranks, not {layout.world_size}; stop.")
        if weight.dtype not in (torch.float32, torch.float64):
            raise InputError(f"weight {name} is {weight.dtype} after sharding; its master must be float32.")


@contextmanager
def averaged(model: nn.Module) -> Iterator[None]:
    """Inside the block all ranks compute the same rows, and a reduced gradient is their mean, not their sum."""
    size = ranks_of(model).size
    for part in _parts(model):
        part.set_gradient_divide_factor(float(size))
    try:
        yield
    finally:
        for part in _parts(model):
            part.set_gradient_divide_factor(1.0)


def check_precision(model: nn.Module, precision: str) -> None:
    """Refuse a pass in another precision than the one the blocks are gathered in."""
    found = sharding_of(model)
    if found and found.layout.gathered == "bf16" and precision != "bf16":
        raise InputError(
            "this run needs passes in float32 but its shards are gathered in bf16; gather them in fp32 (--gather fp32)."
        )


def _check_asked(model: Any, layout: Layout, ranks: Ranks) -> None:
    if ranks.size != layout.world_size:
        raise InputError(f"{layout.world_size} ranks were asked for and {ranks.size} are there; start as many.")
    if sharding_of(model) is not None or hasattr(model, "peft_config"):
        raise InputError("the model is sharded already or carries an adapter; shard the plain model, once.")
    if layout.cpu_offload and device_type() == "cpu":
        raise InputError("CPU offload was asked for and there is no GPU to offload from; leave it out.")
    for name, weight in model.named_parameters():
        if weight.dtype not in (torch.float32, torch.float64):
            raise InputError(f"weight {name} is {weight.dtype}; load the model in float32 to shard it.")


def _full_policy() -> MixedPrecisionPolicy:
    return MixedPrecisionPolicy()


def _half_policy() -> MixedPrecisionPolicy:
    return MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)


_POLICIES = {"fp32": _full_policy, "bf16": _half_policy}


def _parts(model: nn.Module) -> Iterator[FSDPModule]:
    yield from (part for part in model.modules() if isinstance(part, FSDPModule))


def _whole_pass(anatomy: Anatomy) -> Callable[..., Any]:
    """The method through which a view runs its passes: embedding, norm and head are gathered around it.

    It returns what the pass does and, in a list, the tensors in a view's outputs, which FSDP2 has to see.
    """

    def whole(run: Callable[[], Any]) -> Any:
        outputs = run()
        if not isinstance(outputs, Outputs):
            return outputs, []
        for layer, routed in outputs.router.items():
            if routed.requires_grad:
                # Routing leaves its block beside the block's output, so the block is gathered again for its gradient.
                routed.register_hook(_gather(anatomy.block(layer)))  # type: ignore[no-untyped-call]
        tensors = [outputs.maybe_logits_NV, outputs.maybe_final_hidden_ND]
        return outputs, [*tensors, *outputs.hidden.values(), *outputs.router.values()]

    return whole


def _gather(block: Any) -> Callable[[torch.Tensor], None]:
    def hook(_grad: torch.Tensor) -> None:
        block.unshard()

    return hook
