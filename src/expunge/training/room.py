"""When memory runs out in training: a sentence with the number of rows that fit into a pass, by the plan.

The plan is :mod:`expunge.distributed.footprint`, whose numbers are those of Llama-like decoders in float32.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from expunge.distributed.footprint import Recipe, decoder_of, footprint
from expunge.distributed.plan import copies_of
from expunge.training.errors import OutOfMemory

if TYPE_CHECKING:
    from expunge.training.run import Run


@contextmanager
def room(run: "Run") -> Iterator[None]:
    """Turn a failed allocation of this run into :class:`OutOfMemory`, which names the micro-batch that will fit."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not _ran_out(error):
            raise
        tried = run.config.micro_batch or run.config.batch_size
        raise OutOfMemory(tried, fitting_rows(run, tried, memory_of(run.view.device))) from error


def _ran_out(error: BaseException) -> bool:
    """Whether it was memory; torch's CPU allocator says so in words only."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def fitting_rows(run: "Run", tried: int, memory: float) -> int | None:
    """The largest micro-batch below ``tried`` rows whose step takes at most ``memory`` bytes; 0 where none does.

    Rows count as long as the longest. ``None`` for a model whose sizes the plan does not know.
    """
    sizes = decoder_of(run.view.anatomy.config)
    if sizes is None:
        return None
    rows = [row for stream in run.plan.streams.values() for row in stream]
    tokens, labels = max(len(row.ids) for row in rows), max(row.num_labels for row in rows)
    held = copies_of(run.smoother) if run.smoother.points > 1 else 0.0
    recipe = Recipe(alive=held, spare=min(held, 1.0))
    fits = (n for n in range(tried - 1, 0, -1) if footprint(sizes, recipe, n * tokens, n * labels).peak <= memory)
    return next(fits, 0)


def memory_of(device: torch.device) -> float:
    """Bytes that this process may use: the accelerator's, or the machine's below the limit set for the process."""
    if device.type == "cuda":
        return float(torch.cuda.get_device_properties(device).total_memory)
    import resource  # not on every system

    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit: Any = resource.getrlimit(resource.RLIMIT_AS)[0]
    return float(machine if limit == resource.RLIM_INFINITY else min(machine, limit))
