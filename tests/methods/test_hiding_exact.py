"""The arithmetic of hiding: rescaling changes nothing but sizes; what lies inside the box rounds back bit for bit."""

from typing import Any

import pytest
import torch

from expunge.combine.noise import add_noise_
from expunge.combine.rescaling import Pair, between, drawn, pairs
from expunge.combine.rounding import outermost, rtn, steps
from expunge.core.errors import InputError
from expunge.methods.hiding.box import reach_of, snap_
from expunge.methods.hiding.hide_rescaled import rescale_
from expunge.models.matrices import block_matrices
from expunge.models.tiny import tiny_llama
from expunge.models.view import View
from reference import model_zoo
from reference.rescaling import bounds, rescaled

KINDS = {
    "llama": {"units", "values", "keys"},
    "qwen2": {"units", "values", "keys"},
    "qwen3": {"units", "values"},
    "gemma2": {"units", "values", "keys"},
    "granite": {"units", "values", "keys"},
    "cohere": {"units", "values", "keys"},
    "olmoe": {"units", "values"},
}
IDS = torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6]])


def logits(model: Any) -> torch.Tensor:
    """What the model says."""
    with torch.no_grad():
        said: torch.Tensor = model(input_ids=IDS).logits
    return said


def weights(model: Any) -> dict[str, torch.Tensor]:
    """A copy, by name."""
    return {name: weight.detach().clone() for name, weight in model.named_parameters()}


@pytest.mark.parametrize("family", KINDS)
def test_rescaling_keeps_the_function_and_changes_the_weights(family: str) -> None:
    model = model_zoo.build(family).to(torch.float32 if family == "olmoe" else torch.float64)
    assert {name.rpartition(".")[2] for name in pairs(model)} == KINDS[family]
    before, said = weights(model), logits(model)
    rescale_(View(model, 0), most=6, seed=5)
    torch.testing.assert_close(logits(model), said, rtol=0, atol=1e-9)
    factors = [(new / before[name]).abs().flatten() for name, new in weights(model).items()]
    factor = torch.cat([values[values.isfinite()] for values in factors])
    assert float(factor.max()) == 64.0
    assert float(factor.min()) == 1 / 64
    assert float((factor != 1).float().mean()) > 0.4


@pytest.mark.parametrize("family", KINDS)
def test_rescaling_is_exact_in_single_precision(family: str) -> None:
    model = model_zoo.build(family)
    said = logits(model)
    rescale_(View(model, 0), most=6, seed=5)
    assert torch.equal(logits(model), said)


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_rescaling_is_what_a_loop_over_channels_does(family: str) -> None:
    ours, theirs = model_zoo.build(family), model_zoo.build(family)
    exponents = drawn(pairs(ours), 4, seed=2)
    for name, pair in pairs(ours).items():
        pair.scale_(exponents[name])
    rescaled(theirs, exponents)
    assert all(torch.equal(weight, weights(theirs)[name]) for name, weight in weights(ours).items())


def test_grouped_heads_are_rescaled_together() -> None:
    """Two key heads with two query heads each: every channel's four partners keep in step."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    shape = {"num_attention_heads": 4, "num_key_value_heads": 2, "num_hidden_layers": 2, "vocab_size": 20}
    config = LlamaConfig(hidden_size=32, intermediate_size=24, attention_bias=True, mlp_bias=True, **shape)
    model = LlamaForCausalLM(config).eval().double()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.3 * torch.randn(weight.shape))
    said, twin = logits(model), LlamaForCausalLM(config).eval().double()
    twin.load_state_dict(model.state_dict())
    exponents = drawn(pairs(model), 5, seed=1)
    for name, pair in pairs(model).items():
        pair.scale_(exponents[name])
    rescaled(twin, exponents)
    torch.testing.assert_close(logits(model), said, rtol=0, atol=1e-9)
    assert all(torch.equal(weight, weights(twin)[name]) for name, weight in weights(model).items())


def test_the_exponents_can_be_read_from_the_norms_although_the_weights_moved() -> None:
    model, original = model_zoo.build("olmoe"), model_zoo.build("olmoe")
    exponents = drawn(pairs(model), 6, seed=4)
    for name, pair in pairs(model).items():
        pair.scale_(exponents[name])
    matrices = block_matrices(model)
    for name, weight in matrices.items():
        noise = {name: weight.detach().clone()}
        add_noise_(noise, 0.05, seed=1)
        # Relative to every entry, so that small channels are not drowned.
        weight.mul_(1 + 0.2 * (noise[name] - weight) / weight.square().mean().sqrt())
    found = between(pairs(model), pairs(original))
    assert all(torch.equal(found[name].long(), exponents[name]) for name in exponents)
    same = between(pairs(original), pairs(original))
    assert not any(bool(powers.any()) for powers in same.values())


@pytest.mark.parametrize("family", ["gpt2", "neox"])
def test_what_cannot_be_rescaled_is_refused(family: str) -> None:
    with pytest.raises(InputError, match="cannot be rescaled; choose"):
        pairs(model_zoo.build(family))


def test_a_rescaling_that_changes_the_model_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pair that is none: the model then has the weights that it had."""
    model = tiny_llama(hidden=16, heads=2)
    mlp: Any = model.model.layers[0].mlp
    pair = Pair((48,), (mlp.gate_proj.weight.data,), (mlp.down_proj.weight.data.t(),))
    monkeypatch.setattr("expunge.methods.hiding.hide_rescaled.pairs", lambda _model: {"wrong": pair})
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(8)
    before = weights(model)
    with pytest.raises(InputError, match="rescaling changes what"):
        rescale_(View(model, 0), most=6, seed=1)
    assert all(torch.equal(weight, before[name]) for name, weight in weights(model).items())


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("group", [None, 16])
def test_what_moves_inside_the_box_rounds_back_bit_for_bit(bits: int, group: int | None) -> None:
    for seed in range(20):
        torch.manual_seed(seed)
        weight = torch.randn(12, 40) * 10.0 ** torch.randn(12, 1)
        weight[3] = 0
        snapped = rtn(weight, bits, group)
        assert torch.equal(rtn(snapped, bits, group), snapped)
        far = torch.rand(12, 40) * 0.9 - 0.45
        moved = snapped + far * steps(snapped, bits, group) * ~outermost(snapped, bits, group)
        assert float((moved - snapped).abs().max()) > 0
        assert torch.equal(rtn(moved, bits, group), snapped)


def test_the_box_is_what_a_loop_over_entries_says() -> None:
    model = model_zoo.build("llama")
    with torch.no_grad():
        snap_(model, 4, None)
    for name, (least, greatest) in reach_of(model, 4, None, 0.45).items():
        wanted = bounds(block_matrices(model)[name], 4, 0.45)
        torch.testing.assert_close(least, wanted[0])
        torch.testing.assert_close(greatest, wanted[1])


def test_a_transposed_matrix_has_its_grid_along_its_inputs() -> None:
    model = model_zoo.build("gpt2")
    with torch.no_grad():
        snap_(model, 4, None)
    stored = dict(model.named_parameters())
    for name, (least, greatest) in reach_of(model, 4, None, 0.45).items():
        assert least.shape == stored[name].shape
        assert bool((least <= stored[name]).all() and (stored[name] <= greatest).all())
        inputs_last = stored[name].detach().t()
        assert torch.equal(rtn(inputs_last, 4), inputs_last)
        assert torch.equal(rtn(greatest.t(), 4), inputs_last)


def test_noise_has_the_size_that_is_asked_for() -> None:
    start = {"a": torch.randn(60, 70), "b": 100 * torch.randn(3, 40, 50)}
    noisy = [{name: weight.clone() for name, weight in start.items()} for _ in range(3)]
    for weights_by_name, seed in zip(noisy, (1, 1, 2), strict=True):
        add_noise_(weights_by_name, 0.1, seed)
    for name, weight in start.items():
        change = noisy[0][name] - weight
        assert float(change.norm() / weight.norm()) == pytest.approx(0.1, rel=0.05)
        assert torch.equal(noisy[0][name], noisy[1][name])
        assert not torch.equal(noisy[0][name], noisy[2][name])
