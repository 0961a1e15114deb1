"""Kill −9 in the middle of unlearning, start again: the same weights as a run that nobody touched."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from expunge.core.errors import InputError
from expunge.objectives.gradient_ascent import GradientAscent
from expunge.training.config import TrainConfig
from expunge.training.loop import train
from reference.resume_worker import main
from reference.tiny_rows import rows, tiny_view

TESTS = Path(__file__).parent.parent


def _killed(folder: Path, out: Path, die_at: int) -> int:
    """The exit status of a run in its own process that kills itself at step ``die_at``."""
    path = os.pathsep.join([str(TESTS), str(TESTS.parent / "src")])
    command = [sys.executable, "-m", "reference.resume_worker", str(folder), str(out), str(die_at)]
    return subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, check=False).returncode


@pytest.fixture
def one_thread() -> Iterator[None]:
    """The killed process computes with one thread; so must the others, for equal bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
def test_a_killed_run_ends_in_the_same_bytes(tmp_path: Path) -> None:
    whole, resumed, folder = tmp_path / "whole", tmp_path / "resumed", tmp_path / "killed"
    assert _killed(folder, resumed, die_at=8) == -signal.SIGKILL
    assert [path.name for path in folder.glob("checkpoint-*")] == ["checkpoint-000006"]
    assert len((folder / "log.jsonl").read_text().splitlines()) == 8
    main(folder, resumed)
    main(tmp_path / "other", whole)
    assert whole.read_bytes() == resumed.read_bytes()
    assert len((folder / "log.jsonl").read_text().splitlines()) == 12
    assert list(folder.glob("*checkpoint*")) == []


class _Stop(Exception):
    """Interrupts a run."""


def _interrupted(folder: Path, lr: float) -> None:
    def stop(step: int, view: object) -> None:
        if step == 3:
            raise _Stop

    config = TrainConfig(lr=lr, steps=5, batch_size=2, checkpoint_every=2)
    train(tiny_view(), {"forget": rows("f", 4, seed=1)}, GradientAscent(), config=config, folder=folder, callback=stop)


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(_Stop):
        _interrupted(tmp_path, lr=1e-3)
    with pytest.raises(InputError, match="other settings"):
        _interrupted(tmp_path, lr=2e-3)


def test_a_half_written_checkpoint_is_not_one(tmp_path: Path) -> None:
    (tmp_path / ".checkpoint-000004.abc").mkdir()
    with pytest.raises(_Stop):
        _interrupted(tmp_path, lr=1e-3)
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == ["checkpoint-000002"]


def test_a_run_that_ended_can_still_be_continued_until_its_result_is_safe(tmp_path: Path) -> None:
    """Killed while the model is exported: the next run repeats what lies behind the last checkpoint, and no more."""
    config, trained = TrainConfig(lr=1e-3, steps=5, batch_size=2, checkpoint_every=2), []

    def again(keep_last: bool) -> list[torch.Tensor]:
        view = tiny_view()
        train(
            view, {"forget": rows("f", 4, seed=1)}, GradientAscent(), config=config, folder=tmp_path,
            callback=lambda step, _: trained.append(step), keep_last=keep_last,
        )  # fmt: skip
        return [weight.detach().clone() for weight in view.model.parameters()]

    first, second, third = again(True), again(True), again(False)
    assert trained == [1, 2, 3, 4, 5, 5, 5]
    assert all(torch.equal(a, b) and torch.equal(a, c) for a, b, c in zip(first, second, third, strict=True))
    assert list(tmp_path.glob("checkpoint-*")) == []
