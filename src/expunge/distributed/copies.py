"""Copies of a model that is in parts: whole ones, and ones that are spread as it is."""

import copy
from collections.abc import Callable
from typing import Any

import torch

from expunge.distributed.sharding import shard, sharding_of
from expunge.distributed.shards import full


def whole_copy(model: Any) -> Any:
    """A whole copy on the CPU, in evaluation mode, gathered tensor by tensor; all ranks call it, and each gets one."""
    with torch.random.fork_rng(devices=()):
        copied: Any = type(model)(copy.deepcopy(model.config))
    ours = {**dict(copied.named_parameters()), **dict(copied.named_buffers())}
    with torch.no_grad():
        for name, tensor in (*model.named_parameters(), *model.named_buffers()):
            ours[name].data = full(tensor).cpu().clone()
    return copied.eval()


def copy_of(model: Any, change: Callable[[Any], None]) -> Any:
    """A copy after ``change``, spread as ``model`` is; FSDP2's modules know no deep copy.

    The change sees a whole model, so it may be of any kind.
    """
    found = sharding_of(model)
    copied = copy.deepcopy(model) if found is None else whole_copy(model)
    change(copied)
    if found is not None:
        shard(copied, found.layout)
    return copied
