"""Configuration values, the schedule, precision and the seeded block."""

import math

import pytest
import torch

from expunge.core.errors import InputError
from expunge.training.config import TrainConfig
from expunge.training.optimizer import lr_factor
from expunge.training.precision import computing, resolve, seeded


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"lr": 0.0, "steps": 1}, "lr"),
        ({"lr": math.nan, "steps": 1}, "lr"),
        ({"lr": 1e-3}, "steps"),
        ({"lr": 1e-3, "steps": 1, "epochs": 1}, "steps"),
        ({"lr": 1e-3, "steps": 0}, "steps"),
        ({"lr": 1e-3, "steps": 1, "schedule": "step"}, "schedule"),
        ({"lr": 1e-3, "steps": 1, "optimizer": "adam"}, "optimizer"),
        ({"lr": 1e-3, "steps": 1, "warmup": 1.0}, "warmup"),
        ({"lr": 1e-3, "steps": 1, "eval_every": 0}, "eval_every"),
        ({"lr": 1e-3, "steps": 1, "max_kl": 1.0, "checkpoint_every": 3, "eval_every": 2}, "checkpoint_every"),
        ({"lr": "1e-5", "steps": 1}, "1.0e-5"),
    ],
)
def test_senseless_values_are_refused_by_key(values: dict[str, object], word: str) -> None:
    with pytest.raises(InputError, match=word):
        TrainConfig(**values)  # type: ignore[arg-type]


def test_epochs_become_steps() -> None:
    assert TrainConfig(lr=1, epochs=2.5).total_steps(4) == 10
    assert TrainConfig(lr=1, epochs=0.1).total_steps(4) == 1
    assert TrainConfig(lr=1, steps=7).total_steps(4) == 7


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_schedules_warm_up_peak_and_never_waste_a_step(schedule: str) -> None:
    config = TrainConfig(lr=1, steps=20, schedule=schedule, warmup=0.2)  # type: ignore[arg-type]
    factors = [lr_factor(config, 20, step) for step in range(20)]
    assert factors[:4] == [0.25, 0.5, 0.75, 1.0]
    assert factors[4] == 1.0
    assert all(0 < factor <= 1 for factor in factors)
    assert factors[4:] == sorted(factors[4:], reverse=True)
    if schedule != "constant":
        assert factors[12] == pytest.approx(0.5)
        assert lr_factor(config, 20, 20) == pytest.approx(0, abs=1e-12)


def test_precision_auto_never_emulates_bf16_on_a_cpu() -> None:
    cpu = torch.device("cpu")
    native = torch.cpu._is_avx512_bf16_supported()
    assert resolve("auto", cpu) == ("bf16" if native else "fp32")
    assert resolve("bf16", cpu) == "bf16"
    left, right = torch.ones(2, 2), torch.ones(2, 2)
    with computing("bf16", cpu):
        assert (left @ right).dtype == torch.bfloat16
    with computing("fp32", cpu):
        assert (left @ right).dtype == torch.float32


def test_a_seeded_block_repeats_and_leaves_the_outside_alone() -> None:
    cpu, before = torch.device("cpu"), torch.get_rng_state()
    with seeded(5, cpu):
        first = torch.rand(3)
    with seeded(5, cpu):
        assert torch.equal(first, torch.rand(3))
    with seeded(6, cpu):
        assert not torch.equal(first, torch.rand(3))
    assert torch.equal(before, torch.get_rng_state())
