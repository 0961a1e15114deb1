"""What two ranks save, one process or three ranks read; the run ends where an undisturbed one does."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from contracts.checks import Killed, dying
from contracts.world import Trio
from reference.pool import Pool
from reference.spread import Trace, traced

Ranks = Callable[[int], Pool]
TRIOS = [Trio("npo", "averaging"), Trio("pdu", "ema", "lora"), Trio("npo", "sam", "magnitude")]


def whole(trio: Trio) -> dict[str, torch.Tensor]:
    """The weights of a run that nobody touched."""
    return traced(trio, "dense", torch.float64, True).weights


def killed(trio: Trio, folder: Path) -> list[str]:
    """Die right after the checkpoint; the names of the files in it."""
    try:
        with dying():
            traced(trio, "dense", torch.float64, True, folder=folder)
    except Killed:
        return sorted(path.name for path in (folder / "checkpoint-000002").iterdir())
    raise AssertionError("no checkpoint was written")


def continued(trio: Trio, folder: Path, spread: bool = True) -> dict[str, torch.Tensor]:
    """Take the last step, from the checkpoint."""
    trace: Trace = traced(trio, "dense", torch.float64, spread, folder=folder)
    assert len(trace.grads) == 1, "the run did not continue from the checkpoint"
    return trace.weights


def far(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> float:
    return max(float((value - two[name]).abs().max()) for name, value in one.items())


@pytest.mark.parametrize("trio", TRIOS, ids=lambda trio: trio.name)
def test_saved_at_two_resumed_at_one_two_and_three(trio: Trio, ranks: Ranks, tmp_path: Path) -> None:
    undisturbed = ranks(2).run(whole, trio)[0]
    for size in (1, 2, 3) if trio is TRIOS[0] else (1, 3):
        folder = tmp_path / str(size)
        files = ranks(2).run(killed, trio, folder)[0]
        assert ("tensors.safetensors" in files) == (trio.scope == "lora"), files
        answers = [continued(trio, folder, False)] if size == 1 else ranks(size).run(continued, trio, folder)
        assert max(far(answer, undisturbed) for answer in answers) < (1e-8 if size != 2 else 1e-300)
        assert not list(folder.glob("*checkpoint*")), "a finished run leaves checkpoints"


def test_a_damaged_part_starts_the_run_over(ranks: Ranks, tmp_path: Path) -> None:
    ranks(2).run(killed, TRIOS[0], tmp_path)
    part = sorted((tmp_path / "checkpoint-000002").glob("*.distcp"))[1]
    part.write_bytes(part.read_bytes()[:-1] + b"!")
    assert ranks(2).run(steps_taken, TRIOS[0], tmp_path) == [3, 3]


def steps_taken(trio: Trio, folder: Path) -> int:
    return len(traced(trio, "dense", torch.float64, True, folder=folder).grads)
