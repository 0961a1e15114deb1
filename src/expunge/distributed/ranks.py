"""The processes of a run, and what they tell each other."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from expunge.core.errors import InputError

T = TypeVar("T")

# Longer than reading a large model from a slow disk takes; a rank that died is noticed by torchrun at once.
PATIENCE = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process's place among ``size`` of them; alone by default, and then every method is the identity.

    Each method but :attr:`leads` is a collective: all ranks call it, in the same order.
    """

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the rank that writes files and speaks to the user."""
        return self.rank == 0

    def sums(self, values: Sequence[float]) -> list[float]:
        """Each of ``values`` summed over the ranks, in float64."""
        if self.size == 1 or not values:
            return list(values)
        total = torch.tensor(list(values), dtype=torch.float64)
        dist.all_reduce(total)
        found: list[float] = total.tolist()
        return found

    def total(self, tensor: torch.Tensor) -> torch.Tensor:
        """The tensors that the ranks hold, added up."""
        if self.size == 1:
            return tensor
        summed = tensor.clone()
        dist.all_reduce(summed)
        return summed

    def gathered(self, value: T) -> list[T]:
        """What every rank gives, in the order of ranks."""
        if self.size == 1:
            return [value]
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, value)
        return found

    def merged(self, parts: Mapping[Any, T]) -> dict[Any, T]:
        """The union of all ranks' mappings."""
        return {key: value for part in self.gathered(dict(parts)) for key, value in part.items()}

    def from_first(self, value: T) -> T:
        """What rank 0 gives."""
        if self.size == 1:
            return value
        found: list[Any] = [value]
        dist.broadcast_object_list(found)
        given: T = found[0]
        return given


ALONE = Ranks()


def grouped() -> bool:
    """Whether this process belongs to a group, be it of one."""
    return dist.is_available() and dist.is_initialized()


def present() -> Ranks:
    """The ranks of the process group that is set up; alone without one."""
    if not grouped():
        return ALONE
    return Ranks(dist.get_rank(), dist.get_world_size())


def launched() -> int | None:
    """How many processes a launcher (torchrun) started beside this one, itself included; ``None`` without one."""
    return int(os.environ["WORLD_SIZE"]) if {"RANK", "WORLD_SIZE", "MASTER_ADDR"} <= os.environ.keys() else None


@contextmanager
def joined(asked: int | None = None) -> Iterator[Ranks]:
    """Inside the block the processes that a launcher started are one group: gloo on CPUs, nccl between GPUs.

    A group that is there already is used as it is. Raises :class:`InputError` where ``asked`` processes are not what
    there is.
    """
    started = present().size if grouped() else launched()
    if asked is not None and asked != (started or 1):
        raise InputError(
            f"{asked} processes were asked for and {started or 1} started; let --nproc and torchrun agree."
        )
    if started is None or grouped():
        yield present()
        return
    _take_device()
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=PATIENCE)
    try:
        ranks = present()
        if ranks.size != started:
            raise InputError(f"{started} processes were started but {ranks.size} found each other; start them again.")
        yield ranks
    finally:
        dist.destroy_process_group()


def _take_device() -> None:
    """One GPU a process, by its number on this machine."""
    if not torch.cuda.is_available():
        return
    own, there = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if own >= there:
        raise InputError(f"process {own} of this machine finds {there} GPUs; start one process a GPU.")
    torch.cuda.set_device(own)


def device_type() -> str:
    """Where the shards of this run lie."""
    return "cuda" if torch.cuda.is_available() else "cpu"
