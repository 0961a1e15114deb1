"""Memory that runs out in training: a sentence with the micro-batch that the plan says will fit."""

import pytest
import torch

from expunge import registry
from expunge.distributed.footprint import Recipe, decoder_of, footprint
from expunge.models.rows import Row
from expunge.training import room
from expunge.training.config import TrainConfig
from expunge.training.errors import OutOfMemory
from expunge.training.loop import train
from expunge.training.run import Run
from reference.tiny_rows import rows, tiny_view

ROWS = rows("f", 8, seed=1)


def peak(number: int, copies: float = 0.0) -> float:
    """Bytes of a step with ``number`` of the longest rows a pass."""
    sizes = decoder_of(tiny_view().model.config)
    assert sizes is not None
    tokens, labels = max(len(row.ids) for row in ROWS), max(row.num_labels for row in ROWS)
    return footprint(sizes, Recipe(alive=copies, spare=min(copies, 1)), number * tokens, number * labels).peak


def running_out(
    monkeypatch: pytest.MonkeyPatch, memory: float, smoother: str = "none", error: Exception | None = None
) -> None:
    """Train on a machine of so much memory, of which the first step takes too much."""

    def advance(run: Run) -> dict[str, float]:
        raise error or torch.OutOfMemoryError("too much")

    monkeypatch.setattr(Run, "advance", advance)
    monkeypatch.setattr(room, "memory_of", lambda device: memory)
    config = TrainConfig(lr=1e-3, steps=2, batch_size=8)
    streams: dict[str, list[Row]] = {"forget": ROWS, "retain": ROWS}
    built = registry.build("smoother", smoother)
    train(tiny_view(), streams, registry.build("objective", "gradient_ascent"), config=config, smoother=built)


@pytest.mark.parametrize(("smoother", "copies"), [("none", 0.0), ("sam", 2.0), ("random_smoothing", 3.0)])
def test_the_largest_micro_batch_that_fits_is_named(
    monkeypatch: pytest.MonkeyPatch, smoother: str, copies: float
) -> None:
    for fits in (5, 1):
        with pytest.raises(OutOfMemory, match=rf"with 8 rows a pass.* set 'micro_batch' to {fits}\b"):
            running_out(monkeypatch, peak(fits, copies), smoother)
    with pytest.raises(OutOfMemory, match="not even one fits"):
        running_out(monkeypatch, peak(1, copies) - 1, smoother)


def test_a_model_of_unknown_sizes_is_told_to_go_lower(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "decoder_of", lambda config: None)
    with pytest.raises(OutOfMemory, match="set a smaller 'micro_batch'"):
        running_out(monkeypatch, 1e9)


def test_torchs_own_complaint_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU allocator raises a plain RuntimeError."""
    with pytest.raises(RuntimeError) as refused:
        torch.empty(2**55, dtype=torch.uint8)
    with pytest.raises(OutOfMemory, match="micro_batch"):
        running_out(monkeypatch, peak(2), error=refused.value)


def test_other_errors_stay_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeError, match="shapes differ"):
        running_out(monkeypatch, 1e9, error=RuntimeError("shapes differ"))


def test_a_limit_of_the_process_counts() -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = room.memory_of(torch.device("cpu"))
    resource.setrlimit(resource.RLIMIT_AS, (int(most) // 2, hard))
    try:
        assert room.memory_of(torch.device("cpu")) == int(most) // 2
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
