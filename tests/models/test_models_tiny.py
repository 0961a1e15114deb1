import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.models import tiny

WORDS = tiny.word_tokenizer(["The quick brown fox.", "Ann was born in Paris."] * 4)


@pytest.mark.parametrize("tokenizer", [WORDS, tiny.byte_tokenizer()], ids=["words", "bytes"])
@given(text=st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=40))
@settings(max_examples=60, deadline=None)
def test_any_text_round_trips(tokenizer, text):
    assert tokenizer.decode(tokenizer(text)["input_ids"], clean_up_tokenization_spaces=False) == text


def test_frequent_words_are_one_token():
    assert len(WORDS(" quick brown")["input_ids"]) == 2


def test_special_tokens_are_distinct_and_known_to_the_models():
    tokenizer, config = tiny.byte_tokenizer(), tiny.tiny_llama().config
    ids = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
    assert ids == (config.bos_token_id, config.eos_token_id, config.pad_token_id) == (0, 1, 2)
    assert (WORDS.bos_token_id, WORDS.eos_token_id, WORDS.pad_token_id) == ids
    assert len(tokenizer) == config.vocab_size == 259


def test_the_tokenizer_depends_on_the_set_of_texts_only():
    texts = ["b a", "c d e", "a a b"]
    assert tiny.word_tokenizer(texts).get_vocab() == tiny.word_tokenizer([*texts[::-1], "b a"]).get_vocab()


@pytest.mark.parametrize("build", [tiny.tiny_llama, tiny.tiny_moe])
def test_weights_depend_on_the_seed_only_and_the_global_state_is_left_alone(build):
    torch.manual_seed(7)
    before = torch.get_rng_state()
    first, same, other = build(seed=1), build(seed=1), build(seed=2)
    assert torch.equal(torch.get_rng_state(), before)
    pairs = list(zip(first.parameters(), same.parameters(), other.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b, _ in pairs)
    assert not all(torch.equal(a, c) for a, _, c in pairs)
    assert {weight.dtype for weight in first.parameters()} == {torch.float32}
    assert not first.training


def test_the_small_model_fits_its_tokenizer():
    model, tokenizer = tiny.small_llama(["Ann was born in Paris."])
    assert model.config.vocab_size == len(tokenizer)
    assert (model.config.num_hidden_layers, model.config.hidden_size) == (4, 256)
