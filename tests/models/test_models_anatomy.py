import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from expunge.core.errors import InputError
from expunge.models.anatomy import Anatomy
from reference import model_zoo


@pytest.fixture(params=model_zoo.FAMILIES)
def model(request):
    return model_zoo.build(request.param)


def test_every_part_is_found(model):
    anatomy = Anatomy.find(model)
    assert anatomy.num_layers == model_zoo.LAYERS
    assert anatomy.head is model.get_output_embeddings()
    assert anatomy.head.weight.shape == (model_zoo.VOCAB, model_zoo.WIDTH)
    assert anatomy.embed is model.get_input_embeddings()
    assert anatomy.final_norm.weight.shape == (model_zoo.WIDTH,)


def test_the_mlp_output_writes_to_the_residual_stream(model):
    anatomy = Anatomy.find(model)
    if anatomy.router(1) is not None:
        with pytest.raises(InputError, match="mixture of experts"):
            anatomy.mlp_output(1)
        return
    seen = []
    anatomy.mlp_output(1).register_forward_hook(lambda _m, _i, out: seen.append(out))
    anatomy.mlp(1).register_forward_hook(lambda _m, _i, out: seen.append(out))
    model(input_ids=torch.tensor([[1, 2, 3]]))
    inner, outer = seen
    assert torch.equal(inner, outer)
    assert outer.shape == (1, 3, model_zoo.WIDTH)


def test_layer_of_agrees_with_ownership(model):
    anatomy = Anatomy.find(model)
    owner = {id(weight): layer for layer, block in enumerate(anatomy.blocks) for weight in block.parameters()}
    for name, weight in model.named_parameters():
        assert anatomy.layer_of(name) == owner.get(id(weight))


@pytest.mark.parametrize("family", ["llama", "gpt2", "neox", "olmoe"])
def test_a_lora_wrapper_is_looked_through(family):
    wrapped = get_peft_model(model_zoo.build(family), LoraConfig(r=2, target_modules="all-linear"))
    anatomy = Anatomy.find(wrapped)
    owner = {id(weight): layer for layer, block in enumerate(anatomy.blocks) for weight in block.parameters()}
    assert any("lora" in name for name, weight in wrapped.named_parameters() if id(weight) in owner)
    for name, weight in wrapped.named_parameters():
        assert anatomy.layer_of(name) == owner.get(id(weight))


def test_layers_outside_the_model_are_refused():
    anatomy = Anatomy.find(model_zoo.build("llama"))
    for layer in (-1, 3):
        with pytest.raises(InputError, match="choose 0 to 2"):
            anatomy.block(layer)


def test_an_unknown_decoder_is_refused():
    class Odd(nn.Module):
        base_model_prefix = "model"

    with pytest.raises(InputError, match="Odd is not a known decoder"):
        Anatomy.find(Odd())


def test_a_model_without_a_final_norm_is_refused():
    model = model_zoo.build("llama")
    del model.model.norm
    with pytest.raises(InputError, match="has none of norm"):
        Anatomy.find(model)
