"""A few forked processes that form one gloo group and run functions together."""

import multiprocessing
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Pool:
    """``size`` ranks; :meth:`run` calls a function on each and returns what each returned."""

    def __init__(self, size: int, folder: Path) -> None:
        context = multiprocessing.get_context("fork")
        pipes = [context.Pipe() for _ in range(size)]
        store = f"file://{folder}/store-{size}"
        self.ends = [ours for ours, _ in pipes]
        self.workers = [
            context.Process(target=_serve, args=(rank, size, store, theirs), daemon=True)
            for rank, (_, theirs) in enumerate(pipes)
        ]
        for worker in self.workers:
            worker.start()

    def run(self, function: Callable[..., Any], *values: Any, within: float = 300) -> list[Any]:
        """What ``function(*values)`` returns on each rank; an error on any rank is an error here."""
        for end in self.ends:
            end.send((function, values))
        for end in self.ends:
            if not end.poll(within):
                self.close()
                raise AssertionError(f"a rank did not answer within {within} s")
        answers = [end.recv() for end in self.ends]
        errors = [text for good, text in answers if not good]
        assert not errors, "\n".join(errors)
        return [value for _, value in answers]

    def close(self) -> None:
        """End the ranks."""
        for worker in self.workers:
            worker.kill()
            worker.join()


def _serve(rank: int, size: int, store: str, end: Any) -> None:
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=size)
    while True:
        function, values = end.recv()
        try:
            end.send((True, function(*values)))
        except BaseException:
            end.send((False, f"rank {rank}: {traceback.format_exc()}"))
