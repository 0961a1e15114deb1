"""Distance and ridge as metrics: they need both models, and say why where they cannot be read."""

import torch

from expunge.metrics.base import Evidence
from expunge.metrics.evidence import Lent, gather
from expunge.metrics.weights import Barrier, WeightDistance
from expunge.models.tiny import tiny_llama
from expunge.models.view import View
from expunge.scoring.landscape import barrier, distance
from reference.metrics_world import facts, tiny


def _noisy() -> View:
    other = tiny_llama(vocab_size=tiny().model.config.vocab_size, seed=3)
    other.load_state_dict(tiny().model.state_dict())
    with torch.no_grad():
        for weight in other.parameters():
            weight.add_(0.05 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)))
    return View(other, tiny().view().pad_id)


def test_they_are_what_the_landscape_says() -> None:
    moved, original = _noisy(), tiny().view()
    evidence = gather(moved, tiny().encoder, facts(0, 3), forms=("qa",), needs=(), original=original)
    far, ridge = WeightDistance().compute(evidence), Barrier().compute(evidence)
    assert far.value == far.low == far.high == distance(moved, original) > 0
    assert ridge.value == barrier(moved, original, [item.row for item in evidence.asked or ()])


def test_without_the_original_there_is_a_reason() -> None:
    found = WeightDistance().compute(Evidence(model=Lent(tiny().view)))
    assert found.value is None and found.reason == "not computed: the original model is not at hand."


def test_models_of_other_shapes_give_a_reason() -> None:
    other = View(tiny_llama(vocab_size=40, hidden=16, layers=1, heads=2), pad_id=0)
    found = WeightDistance().compute(Evidence(model=Lent(tiny().view), original=Lent(lambda: other)))
    assert found.value is None and "other weights" in (found.reason or "")


def test_a_broken_original_gives_a_reason_not_a_number() -> None:
    broken = _noisy()
    with torch.no_grad():
        next(iter(broken.model.parameters())).fill_(float("nan"))
    found = WeightDistance().compute(Evidence(model=Lent(tiny().view), original=Lent(lambda: broken)))
    assert found.value is None and "not a number" in (found.reason or "")
