import json

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from expunge.core.errors import InputError
from expunge.models import tiny
from expunge.models.load import load
from expunge.models.loaded import assemble
from expunge.models.save import fingerprint, save
from reference import model_zoo


def loaded_of(model):
    return assemble(model, tiny.byte_tokenizer(), "zoo", fingerprint(model), template="bare")


@pytest.mark.parametrize("family", model_zoo.FAMILIES)
def test_a_saved_model_comes_back_bit_for_bit(family, tmp_path):
    model = model_zoo.build(family)
    mark = save(loaded_of(model), tmp_path / "m")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "m", dtype=torch.float32)
    state = again.state_dict()
    assert state.keys() == model.state_dict().keys()
    assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())
    assert fingerprint(again) == mark == load(tmp_path / "m").fingerprint


@pytest.mark.parametrize(("family", "tied"), [("llama-tied", True), ("llama", False)])
def test_tied_weights_stay_tied(family, tied, tmp_path):
    save(loaded_of(model_zoo.build(family)), tmp_path / "m")
    model = load(tmp_path / "m").model
    assert (model.lm_head.weight is model.model.embed_tokens.weight) is tied


def test_the_folder_is_an_ordinary_one_with_a_card(tmp_path):
    loaded = load("tiny", template="bare")
    mark = save(loaded, tmp_path / "a" / "m", provenance={"method": "none"})
    card = json.loads((tmp_path / "a" / "m" / "expunge.json").read_text())
    assert (card["template"], card["fingerprint"], card["method"]) == ("bare", mark, "none")
    assert card["source_fingerprint"] == loaded.fingerprint
    assert list((tmp_path / "a").iterdir()) == [tmp_path / "a" / "m"]
    assert not list((tmp_path / "a" / "m").glob("*.bin"))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "a" / "m")
    assert tokenizer("Ann é")["input_ids"] == loaded.tokenizer("Ann é")["input_ids"]
    again = load(tmp_path / "a" / "m")
    assert again.provenance["method"] == "none"
    assert again.encoder.encode("Who?", "Ann", "k") == loaded.encoder.encode("Who?", "Ann", "k")


def test_a_trained_model_takes_the_place_of_the_loaded_one(tmp_path):
    loaded, other = load("tiny"), tiny.tiny_llama(seed=5)
    assert save(loaded, tmp_path / "m", model=other) == fingerprint(other) != loaded.fingerprint
    assert load(tmp_path / "m").fingerprint == fingerprint(other)


def test_a_failed_save_leaves_the_earlier_model(tmp_path, monkeypatch):
    loaded = load("tiny")
    mark = save(loaded, tmp_path / "m")

    def fail(*_args, **_kwargs):
        raise RuntimeError("disk full")

    other = tiny.tiny_llama(seed=5)
    monkeypatch.setattr(loaded.tokenizer, "save_pretrained", fail)
    with pytest.raises(RuntimeError, match="disk full"):
        save(loaded, tmp_path / "m", model=other)
    assert load(tmp_path / "m").fingerprint == mark
    assert list(tmp_path.iterdir()) == [tmp_path / "m"]


def test_a_model_replaces_a_model_but_nothing_else(tmp_path):
    loaded = load("tiny")
    save(loaded, tmp_path / "m")
    mark = save(loaded, tmp_path / "m", model=tiny.tiny_llama(seed=5))
    assert load(tmp_path / "m").fingerprint == mark
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="holds something other than a model"):
        save(loaded, tmp_path / "mine")
    with pytest.raises(InputError, match="is a file"):
        save(loaded, tmp_path / "mine" / "thesis.txt")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


def test_an_adapter_must_be_merged_first(tmp_path):
    wrapped = get_peft_model(tiny.tiny_llama(), LoraConfig(r=2, target_modules="all-linear"))
    for model in (wrapped, wrapped.get_base_model()):
        with pytest.raises(InputError, match="merge it before saving"):
            save(load("tiny"), tmp_path / "m", model=model)
    merged = wrapped.merge_and_unload()
    assert save(load("tiny"), tmp_path / "m", model=merged) == load("tiny").fingerprint
