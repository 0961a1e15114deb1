import json
import shutil
import socket
import time

import pytest
import torch
from safetensors.torch import load_file, save_file

from expunge.core.errors import InputError
from expunge.models import hub
from expunge.models.load import fingerprint, load
from expunge.models.save import save


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny"
    save(load("tiny"), folder)
    return folder


@pytest.fixture
def copied(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "copy")


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No network, and an empty cache."""

    def refuse(*_args, **_kwargs):
        raise OSError("no network")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    for key in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(key, raising=False)


def refused(source, match, **settings):
    with pytest.raises(InputError, match=match) as caught:
        load(source, **settings)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.mark.parametrize("alias", ["tiny", "tiny-moe", "small"])
def test_aliases_give_the_same_fp32_model_in_eval_mode_each_time(alias):
    one, two = load(alias), load(alias)
    assert one.fingerprint == two.fingerprint
    assert load(alias, seed=1).fingerprint != one.fingerprint
    assert one.encoder.template == "plain"
    assert one.encoder.max_length == 1024
    assert {weight.dtype for weight in one.model.parameters()} == {torch.float32}
    assert not one.model.training
    row = one.encoder.encode("Who?", "Ann", "k")
    assert one.view().forward(one.view().collate([row])).logits_NV.shape == (row.num_labels, 259)


def test_texts_train_the_tokenizer_of_a_built_model():
    loaded = load("small", texts=["Ann was born in Paris."] * 3)
    assert len(loaded.tokenizer(" Paris")["input_ids"]) == 1
    assert loaded.model.config.vocab_size == len(loaded.tokenizer)


def test_weights_saved_in_bf16_are_loaded_as_fp32(copied):
    weights = {name: tensor.bfloat16() for name, tensor in load_file(copied / "model.safetensors").items()}
    save_file(weights, copied / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((copied / "config.json").read_text()) | {"dtype": "bfloat16"}
    (copied / "config.json").write_text(json.dumps(config))
    assert {weight.dtype for weight in load(copied).model.parameters()} == {torch.float32}
    asked = load(copied, dtype=torch.bfloat16)
    assert {weight.dtype for weight in asked.model.parameters()} == {torch.bfloat16}


def test_the_recorded_template_is_used_unless_another_is_given(copied):
    card = json.loads((copied / "expunge.json").read_text())
    (copied / "expunge.json").write_text(json.dumps(card | {"template": "bare"}))
    assert load(copied).encoder.template == "bare"
    assert load(copied, template="plain").encoder.template == "plain"
    (copied / "expunge.json").unlink()
    assert load(copied).encoder.template == "plain"
    (copied / "chat_template.jinja").write_text(
        "{% for m in messages %}{{ m['content'] }}</s>{% endfor %}{% if add_generation_prompt %}A: {% endif %}"
    )
    assert load(copied).encoder.template == "chat"


def test_a_changed_weight_or_config_changes_the_fingerprint():
    model = load("tiny").model
    before = fingerprint(model)
    model.config.rms_norm_eps *= 2
    changed = fingerprint(model)
    model.config.rms_norm_eps /= 2
    assert fingerprint(model) == before != changed
    weight = model.model.layers[1].mlp.down_proj.weight
    weight.data[0, 0] = torch.nextafter(weight.data[0, 0], torch.tensor(9.0))
    assert fingerprint(model) != before


def test_a_folder_without_a_model_is_named(tmp_path):
    assert str(tmp_path) in refused(tmp_path, "has no config.json")


def test_a_folder_without_weights_is_named(copied):
    (copied / "model.safetensors").unlink()
    refused(copied, "has no weights")


def test_pickled_weights_are_refused_unopened(copied):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("the pickle was opened",))

    (copied / "model.safetensors").unlink()
    torch.save(Bomb(), copied / "pytorch_model.bin")
    refused(copied, "pickled weights only")


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"\xff" * 64 + b[64:], lambda b: b""])
def test_damaged_weights_are_named(copied, damage):
    path = copied / "model.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    assert str(path) in refused(copied, "not a whole safetensors file")


def test_a_missing_tensor_is_named_and_not_made_up(copied):
    path = copied / "model.safetensors"
    weights = load_file(path)
    del weights["model.layers.1.mlp.down_proj.weight"]
    save_file(weights, path, metadata={"format": "pt"})
    refused(copied, r"lacks the tensor model\.layers\.1\.mlp\.down_proj\.weight")


def test_a_tensor_of_the_wrong_shape_is_refused(copied):
    path = copied / "model.safetensors"
    weights = load_file(path)
    weights["model.norm.weight"] = torch.ones(3)
    save_file(weights, path, metadata={"format": "pt"})
    refused(copied, "cannot be read")


def test_a_missing_shard_is_refused(copied):
    (copied / "model.safetensors").rename(copied / "model-00001-of-00002.safetensors")
    names = list(load_file(copied / "model-00001-of-00002.safetensors"))
    index = {"metadata": {}, "weight_map": dict.fromkeys(names, "model-00001-of-00002.safetensors")}
    index["weight_map"][names[0]] = "model-00002-of-00002.safetensors"
    (copied / "model.safetensors.index.json").write_text(json.dumps(index))
    refused(copied, "model-00002-of-00002|cannot be read")


def test_a_config_that_is_no_language_model_is_refused(copied):
    (copied / "config.json").write_text('{"model_type": "vit"}')
    refused(copied, "cannot be read")


def test_a_folder_without_a_tokenizer_is_refused(copied):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (copied / name).unlink()
    refused(copied, "the tokenizer in .* cannot be read")


def test_code_in_a_model_folder_is_not_run(copied):
    config = json.loads((copied / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoModelForCausalLM": "code.Own", "AutoConfig": "code.Config"}}
    (copied / "config.json").write_text(json.dumps(config))
    (copied / "code.py").write_text("raise SystemExit('the code was run')")
    refused(copied, "cannot be read")


@pytest.mark.parametrize("source", ["/no/such/folder", "./nowhere", "tinny", "C:\\models\\x"])
def test_an_unknown_source_is_named_with_what_it_could_be(source):
    assert "smollm2, tiny, tiny-moe, small" in refused(source, "is no folder, hub name")


def test_a_missing_gguf_file_is_named(tmp_path):
    refused(tmp_path / "x.gguf", r"x\.gguf does not exist")


def test_a_damaged_gguf_file_is_refused(tmp_path):
    (tmp_path / "x.gguf").write_bytes(b"GGUF" + b"\0" * 8)
    refused(tmp_path / "x.gguf", r"x\.gguf cannot be read")


def test_a_hub_name_without_a_network_is_one_quick_sentence(offline):
    start = time.monotonic()
    refused("someone/some-model", "'someone/some-model' is no folder here, is not in the local cache, and the hub")
    assert time.monotonic() - start < 5


def test_a_silent_network_is_given_up_within_seconds(offline, monkeypatch):
    def silent(*_args, **_kwargs):
        time.sleep(3)
        raise OSError("timed out")

    monkeypatch.setattr(hub, "PATIENCE", -0.9)
    monkeypatch.setattr(socket, "create_connection", silent)
    start = time.monotonic()
    assert not hub.reachable("https://example.invalid")
    assert time.monotonic() - start < 2


def test_a_cached_hub_model_needs_no_network(saved, offline, monkeypatch):
    monkeypatch.setattr(hub, "snapshot_download", lambda name, **settings: _cached(saved, settings))
    loaded = load("someone/some-model")
    assert (loaded.source, loaded.fingerprint) == ("someone/some-model", load(saved).fingerprint)


def _cached(folder, settings):
    assert settings["local_files_only"] is True
    assert not any("bin" in pattern or "py" in pattern for pattern in settings["allow_patterns"])
    return str(folder)
