import pytest
import torch
from peft import LoraConfig, PromptTuningConfig, get_peft_model

from expunge.core.errors import InputError
from expunge.models.load import check_logits
from expunge.models.rows import Row
from expunge.models.view import View
from reference import model_zoo

PAD = 1


def row(key, length, first_label, seed=0):
    ids = torch.randint(0, model_zoo.VOCAB, (length,), generator=torch.Generator().manual_seed(seed + length))
    return Row(key, tuple(ids.tolist()), tuple(index >= first_label for index in range(length)))


ROWS = [row("a", 9, 5), row("b", 4, 3), row("c", 12, 2)]


@pytest.fixture(params=model_zoo.FAMILIES)
def view(request):
    return View(model_zoo.build(request.param), PAD)


@torch.no_grad()
def literal_logits(model, rows):
    """Each row alone through the whole model; the logits before each label token, one after the other."""
    parts = []
    for item in rows:
        whole = model(input_ids=torch.tensor([item.ids])).logits[0]
        parts += [whole[t - 1] for t in range(len(item.ids)) if item.labels[t]]
    return torch.stack(parts).float()


def calls(view, **want):
    """How often each block ran in one forward pass."""
    count = [0] * view.anatomy.num_layers
    hooks = []
    for layer, block in enumerate(view.anatomy.blocks):

        def hook(*_, layer=layer):
            count[layer] += 1

        hooks.append(block.register_forward_pre_hook(hook))
    outputs = view.forward(view.collate(ROWS), **want)
    for handle in hooks:
        handle.remove()
    return count, outputs


@torch.no_grad()
def test_label_logits_are_the_whole_models_row_by_row(view):
    outputs = view.forward(view.collate(ROWS))
    assert outputs.logits_NV.dtype == torch.float32
    torch.testing.assert_close(outputs.logits_NV, literal_logits(view.model, ROWS), atol=1e-5, rtol=1e-5)
    assert outputs.rows_N.tolist() == [0] * 4 + [1] + [2] * 10
    expected = [token for item in ROWS for token, label in zip(item.ids, item.labels, strict=True) if label]
    assert outputs.targets_N.tolist() == expected


@torch.no_grad()
def test_sums_and_means_by_row_follow_from_the_definition(view):
    outputs = view.forward(view.collate([*ROWS, Row("none", (3, 4), (False, False))]))
    logits = literal_logits(view.model, ROWS)
    nll = [-logits[n].log_softmax(-1)[target] for n, target in enumerate(outputs.targets_N)]
    sums = torch.stack([sum(nll[:4]), nll[4], sum(nll[5:]), torch.tensor(0.0)])
    torch.testing.assert_close(outputs.nll_sum_B(), sums, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(outputs.nll_mean_B(), sums / torch.tensor([4, 1, 10, 1]), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_hidden_states_and_final_hidden_lead_to_the_logits(view):
    outputs = view.forward(view.collate(ROWS), hidden=(0, 2), final_hidden=True)
    assert set(outputs.hidden) == {0, 2}
    assert outputs.hidden[0].shape == (3, 12, model_zoo.WIDTH)
    torch.testing.assert_close(view.head_logits(outputs.final_hidden_ND), outputs.logits_NV)
    normed = view.anatomy.final_norm(outputs.hidden[2])
    torch.testing.assert_close(normed[:, :-1][view.collate(ROWS).labels_BT[:, 1:]], outputs.final_hidden_ND)


def test_nothing_after_stop_after_is_computed(view):
    whole, outputs = calls(view, hidden=(1,))
    assert whole == [1, 1, 1]
    count, stopped = calls(view, hidden=(1,), stop_after=1)
    assert count == [1, 1, 0]
    torch.testing.assert_close(stopped.hidden[1], outputs.hidden[1])
    with pytest.raises(InputError, match="did not compute logits"):
        _ = stopped.logits_NV
    again, _ = calls(view)
    assert again == [1, 1, 1]


@pytest.mark.parametrize("want", [{"hidden": (2,)}, {"final_hidden": True}])
def test_stopping_before_what_is_wanted_is_refused(want):
    view = View(model_zoo.build("llama"), PAD)
    with pytest.raises(InputError, match="stops after block 1"):
        view.forward(view.collate(ROWS), stop_after=1, **want)


@pytest.mark.parametrize("site", ["embed", "block.1", "mlp.2", "final"])
@torch.no_grad()
def test_perturb_acts_inside_the_block_and_leaves_nothing_behind(view, site):
    batch = view.collate(ROWS)
    before = view.forward(batch).logits_NV
    shapes = []

    def shift(hidden_BTD):
        shapes.append(tuple(hidden_BTD.shape))
        return hidden_BTD + torch.linspace(0, 1, hidden_BTD.shape[-1])

    with view.perturb(site, shift):
        inside = view.forward(batch).logits_NV
    assert shapes == [(3, 12, model_zoo.WIDTH)]
    assert (inside - before).abs().max() > 1e-3
    assert torch.equal(view.forward(batch).logits_NV, before)


@torch.no_grad()
def test_perturbed_output_is_what_is_put_there():
    view = View(model_zoo.build("llama"), PAD)
    with view.perturb("block.1", torch.zeros_like):
        assert not view.forward(view.collate(ROWS), hidden=(1,)).hidden[1].any()


def test_perturb_is_removed_after_an_error():
    view = View(model_zoo.build("llama"), PAD)
    with pytest.raises(ZeroDivisionError), view.perturb("final", lambda x: x * 0):
        raise ZeroDivisionError
    assert not view.anatomy.final_norm._forward_hooks


@pytest.mark.parametrize("site", ["nowhere", "block.x", "block.9", "attention.1"])
def test_unknown_sites_are_named(site):
    view = View(model_zoo.build("llama"), PAD)
    with pytest.raises(InputError, match=r"layer 9|unknown activation site"), view.perturb(site, torch.zeros_like):
        pass


@torch.no_grad()
def test_router_probabilities_choose_the_experts_that_run():
    view = View(model_zoo.build("olmoe"), PAD)
    chosen = []
    handle = view.anatomy.router(0).register_forward_hook(lambda _m, _i, out: chosen.append(out[2]))
    outputs = view.forward(view.collate(ROWS), router=True)
    handle.remove()
    assert set(outputs.router) == {0, 1, 2}
    probabilities = outputs.router[0]
    assert probabilities.shape == (3, 12, 4)
    torch.testing.assert_close(probabilities.sum(-1), torch.ones(3, 12))
    assert torch.equal(probabilities.topk(2).indices.reshape(-1, 2).sort().values, chosen[0].sort().values)


def test_dense_models_have_no_router_probabilities():
    view = View(model_zoo.build("llama"), PAD)
    assert view.forward(view.collate(ROWS), router=True).router == {}


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2"])
@torch.no_grad()
def test_lora_wrapped_models_give_the_adapted_logits(family):
    plain = View(model_zoo.build(family), PAD)
    before = plain.forward(plain.collate(ROWS)).logits_NV
    wrapped = get_peft_model(model_zoo.build(family), LoraConfig(r=2, target_modules="all-linear"))
    for name, weight in wrapped.named_parameters():
        if "lora_B" in name:
            weight.copy_(torch.randn(weight.shape))
    view = View(wrapped.eval(), PAD)
    outputs = view.forward(view.collate(ROWS))
    torch.testing.assert_close(outputs.logits_NV, literal_logits(wrapped, ROWS), atol=1e-5, rtol=1e-5)
    assert (outputs.logits_NV - before).abs().max() > 1e-2
    assert any("lora_A" in name for name in view.named_weights())


def test_prompt_learning_is_refused():
    config = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)
    with pytest.raises(InputError, match="prompt-learning"):
        View(get_peft_model(model_zoo.build("llama"), config), PAD)


@pytest.mark.parametrize("pad", [0, 1, 60])
@torch.no_grad()
def test_the_padding_token_does_not_matter(pad):
    model = model_zoo.build("qwen3")
    view, other = View(model, PAD), View(model, pad)
    assert torch.equal(other.forward(other.collate(ROWS)).logits_NV, view.forward(view.collate(ROWS)).logits_NV)


def test_gradients_reach_every_weight_and_equal_the_whole_models():
    view = View(model_zoo.build("llama-tied"), PAD)
    view.forward(view.collate(ROWS)).nll_sum_B().sum().backward()
    mine = {name: weight.grad.clone() for name, weight in view.named_weights().items()}
    view.model.zero_grad()
    for item in ROWS:
        whole = view.model(input_ids=torch.tensor([item.ids])).logits[0].log_softmax(-1)
        (-sum(whole[t - 1, item.ids[t]] for t in range(len(item.ids)) if item.labels[t])).backward()
    for name, weight in view.named_weights().items():
        torch.testing.assert_close(mine[name], weight.grad, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("family", "tied"), [("llama", False), ("llama-tied", True), ("gpt2", True)])
def test_named_weights_hold_each_tied_tensor_once(family, tied):
    view = View(model_zoo.build(family), PAD)
    pointers = [weight.data_ptr() for weight in view.named_weights().values()]
    assert len(pointers) == len(set(pointers))
    assert ("lm_head.weight" in view.named_weights()) is not tied


def test_a_model_that_changes_its_logits_unknown_to_us_is_refused(view):
    check_logits(view)
    forward = view.model.forward

    def twisted(**inputs):
        outputs = forward(**inputs)
        outputs.logits = outputs.logits * 2
        return outputs

    view.model.forward = twisted
    with pytest.raises(InputError, match="changes its logits"):
        check_logits(view)
