"""Distance to the original and the ridge between."""

import copy
from dataclasses import replace

import pytest
import torch
from tests.reference import landscape as twin
from tests.reference.tiny_rows import VOCAB, rows, tiny_view

from expunge.core.errors import InputError
from expunge.models.rows import Row
from expunge.models.tiny import tiny_llama
from expunge.models.view import View
from expunge.scoring.landscape import ALPHAS, barrier, distance


def test_equals_its_twin() -> None:
    new, old = tiny_view(1), tiny_view(2)
    assert distance(new, old) * twin.distance(old.model, _zeros()) == pytest.approx(
        twin.distance(new.model, old.model), rel=1e-6
    )
    read = rows("a", 5, 3)

    def nll(alpha: float) -> float:
        return twin.mean_nll(twin.on_the_line(_zeros, new.model, old.model, alpha), read)

    rises = [nll(a) - (1 - a) * nll(0) - a * nll(1) for a in ALPHAS]
    assert barrier(new, old, read) == pytest.approx(max(0.0, *rises), abs=1e-5)


def test_leaves_every_weight_as_it_was() -> None:
    new, old = tiny_view(1), tiny_view(2)
    before = [copy.deepcopy(view.model.state_dict()) for view in (new, old)]
    barrier(new, old, rows("a", 3, 3))
    for view, kept in zip((new, old), before, strict=True):
        assert all(torch.equal(weight, kept[name]) for name, weight in view.model.state_dict().items())


def test_a_model_is_no_distance_from_itself() -> None:
    same = tiny_view(1), tiny_view(1)
    assert distance(*same) == 0.0 and barrier(*same, rows("a", 3, 3)) == pytest.approx(0.0, abs=1e-6)


def test_two_orders_of_the_same_neurons_have_a_ridge_between_them() -> None:
    """Both ends are one function, so their losses are equal, and yet the line between them leaves it."""
    old, new = tiny_view(1), tiny_view(1)
    with torch.no_grad():
        for layer in new.model.model.layers:
            order = torch.roll(torch.arange(layer.mlp.gate_proj.weight.shape[0]), 1)
            for name in ("gate_proj", "up_proj"):
                weight = getattr(layer.mlp, name).weight
                weight.copy_(weight[order].clone())
            layer.mlp.down_proj.weight.copy_(layer.mlp.down_proj.weight[:, order].clone())
    own = [_likeliest(old, row) for row in rows("a", 6, 5)]
    assert twin.mean_nll(new.model, own) == pytest.approx(twin.mean_nll(old.model, own), abs=1e-4)
    assert distance(new, old) > 0 and barrier(new, old, own) > 0.1


def test_a_broken_model_on_the_way_is_an_infinite_barrier() -> None:
    new, old = tiny_view(1), tiny_view(2)
    with torch.no_grad():
        next(iter(old.model.parameters())).fill_(float("nan"))
    assert barrier(new, old, rows("a", 2, 3)) == float("inf")


def test_models_of_other_shapes_are_refused() -> None:
    other = View(tiny_llama(vocab_size=VOCAB, hidden=16, layers=1, heads=2), pad_id=0)
    with pytest.raises(InputError, match="other weights"):
        distance(tiny_view(), other)


def _zeros() -> torch.nn.Module:
    model = tiny_llama(vocab_size=VOCAB, hidden=16, layers=2, heads=2)
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
    return model


def _likeliest(view: View, row: Row) -> Row:
    """The row with every label replaced by what the model itself says there."""
    ids = list(row.ids)
    for at in range(1, len(ids)):
        if row.labels[at]:
            with torch.no_grad():
                ids[at] = int(view.model(input_ids=torch.tensor([ids[:at]])).logits[0, -1].argmax())
    return replace(row, ids=tuple(ids))
