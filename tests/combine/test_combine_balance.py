"""Balancing: the same function, and the same weights whatever a model was rescaled by."""

import copy

import pytest
import torch

from expunge.combine.rescaling import balance_, drawn, pairs
from reference import model_zoo

FAMILIES = ["llama", "qwen2", "qwen3", "gemma2", "olmoe"]
IDS = torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6]])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_rescaled_model_and_the_model_itself_balance_to_the_same_bits(family: str) -> None:
    model = model_zoo.build(family)
    other = copy.deepcopy(model)
    for name, pair in pairs(other).items():
        pair.scale_(drawn(pairs(other), 8, seed=3)[name])
    assert any(not torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))
    for each in (model, other):
        balance_(each)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_written_and_what_is_read_end_within_a_factor_of_two(family: str) -> None:
    model = model_zoo.build(family)
    with torch.no_grad():
        said = model(input_ids=IDS).logits
        for name, pair in pairs(model).items():
            pair.scale_(drawn(pairs(model), 8, seed=4)[name])
        balance_(model)
        assert torch.equal(model(input_ids=IDS).logits, said)
    for pair in pairs(model).values():
        larger, smaller = pair.norms()
        written = (larger > 0) & (smaller > 0)
        assert float((larger / smaller)[written].log2().abs().max()) <= 1.0 + 1e-9


def test_a_model_without_such_channels_is_left_as_it_is() -> None:
    model = model_zoo.build("gpt2")
    before = [weight.clone() for weight in model.parameters()]
    balance_(model)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), before, strict=True))
