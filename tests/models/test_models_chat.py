import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from expunge.core.errors import InputError
from expunge.models import tiny
from expunge.models.chat import TEMPLATES, Encoder

TEXTS = [
    "Question: Where was Ann born?\nAnswer: Paris", "Question: When did Bob die?\nAnswer: 1789",
    "The capital of France is Paris", "Ann lives in New York City, Ünder den Linden",
]  # fmt: skip
CHAT = (
    "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}{{ '</s>' }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
SPACED_CHAT = "{{ '<s>' }}{% for m in messages %}{% if m['role'] == 'user' %}[INST] {{ m['content'] }} [/INST]"
SPACED_CHAT += "{% else %} {{ m['content'] }}</s>{% endif %}{% endfor %}"


def trained(pre_tokenizer, *, decoder, post=None, alphabet=(), **special):
    inner = Tokenizer(models.BPE(unk_token="<unk>"))
    inner.pre_tokenizer, inner.decoder = pre_tokenizer, decoder
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=["<s>", "</s>", "<unk>"], show_progress=False, initial_alphabet=list(alphabet)
    )
    inner.train_from_iterator(TEXTS * 4, trainer)
    if post is not None:
        inner.post_processor = post
    named = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", **special}
    return PreTrainedTokenizerFast(tokenizer_object=inner, **named)


def glued():
    return tiny.word_tokenizer(TEXTS * 4)


def trimmed_offsets():
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    post = processors.ByteLevel(trim_offsets=True)
    return trained(level, decoder=decoders.ByteLevel(), post=post, alphabet=alphabet)


def digits_apart():
    level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    split = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), level])
    return trained(split, decoder=decoders.ByteLevel(), alphabet=pre_tokenizers.ByteLevel.alphabet())


def sentence_pieces():
    post = processors.TemplateProcessing(single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 0)])
    return trained(pre_tokenizers.Metaspace(), decoder=decoders.Metaspace(), post=post)


def pad_is_end():
    tokenizer = glued()
    tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


KINDS = {f.__name__: f for f in (glued, trimmed_offsets, digits_apart, sentence_pieces, pad_is_end)}
KINDS["bytes"] = tiny.byte_tokenizer


@pytest.fixture(scope="module", params=KINDS)
def tokenizer(request):
    built = KINDS[request.param]()
    built.chat_template = CHAT
    return built


def said(encoder, row):
    """The text of the label tokens, special tokens included."""
    ids = [token for token, label in zip(row.ids, row.labels, strict=True) if label]
    return encoder.tokenizer.decode(ids, clean_up_tokenization_spaces=False)


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("prompt", ["Where was Ann born?", "Where was Ann born? ", "The capital of France is"])
@pytest.mark.parametrize("answer", ["Paris", " Paris", "1789", "New York City", "Ünder"])
def test_labels_are_the_answer_and_its_end(tokenizer, template, prompt, answer):
    encoder = Encoder(tokenizer, template)
    row = encoder.encode(prompt, answer, "k")
    end = "" if template == "bare" else "</s>"
    assert said(encoder, row).strip() == answer.strip() + end
    given_ids = encoder.prompt_ids(prompt)
    assert row.ids[: len(given_ids)] == given_ids
    assert row.labels == tuple(index >= len(given_ids) for index in range(len(row.ids)))
    assert row.key == "k"


@given(prompt=st.text(min_size=0, max_size=20), answer=st.text(min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
def test_any_text_keeps_its_answer(prompt, answer):
    encoder = Encoder(_GLUED, "plain")
    if not answer.strip():
        with pytest.raises(InputError, match="row k: the answer is empty"):
            encoder.encode(prompt, answer, "k")
        return
    row = encoder.encode(prompt, answer, "k")
    assert row.num_labels >= 2
    assert not row.labels[0]
    assert answer.strip() in said(encoder, row)


_GLUED = tiny.word_tokenizer(TEXTS)


def test_a_token_across_the_cut_is_a_label():
    inner = Tokenizer(models.BPE(vocab={"a": 0, "b": 1, " ": 2, " b": 3, "a b": 4}, merges=[(" ", "b"), ("a", " b")]))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner)
    row = Encoder(tokenizer, "bare").encode("ba", "b", "k")
    assert (row.ids, row.labels) == ((1, 4), (False, True))


def test_a_row_of_one_crossing_token_and_nothing_before_it_is_refused():
    inner = Tokenizer(models.BPE(vocab={"a": 0, "b": 1, " ": 2, " b": 3, "a b": 4}, merges=[(" ", "b"), ("a", " b")]))
    with pytest.raises(InputError, match="row k: nothing stands before"):
        Encoder(PreTrainedTokenizerFast(tokenizer_object=inner), "bare").encode("a", "b", "k")


def test_a_pad_that_is_the_end_token_hides_neither_end_nor_answer():
    plain, merged = Encoder(glued()), Encoder(pad_is_end())
    assert merged.tokenizer.pad_token_id == merged.tokenizer.eos_token_id
    assert merged.encode("Who?", "Ann", "k") == plain.encode("Who?", "Ann", "k")
    assert merged.encode("Who?", "Ann", "k").labels[-1]


@pytest.mark.parametrize("template", ["plain", "bare"])
def test_the_automatic_beginning_token_comes_once(template):
    encoder = Encoder(sentence_pieces(), template)
    assert encoder.encode("Where?", "Paris", "k").ids.count(0) == 1
    assert encoder.document("Paris", "k").ids.count(0) == 1


def test_chat_answers_stand_as_the_template_writes_them():
    tokenizer = sentence_pieces()
    tokenizer.chat_template = SPACED_CHAT
    messages = [{"role": "user", "content": "Where?"}, {"role": "assistant", "content": "Paris"}]
    whole = tokenizer.apply_chat_template(messages, tokenize=False)
    expected = tokenizer(whole, add_special_tokens=False)["input_ids"]
    row = Encoder(tokenizer, "chat").encode("Where?", "Paris", "k")
    assert list(row.ids) == expected


def test_thinking_blocks_of_a_template_stay_out_of_the_labels():
    tokenizer = glued()
    tokenizer.chat_template = (
        "{% for m in messages %}<{{ m['role'] }}>{% if m['role'] == 'assistant' %}<think></think>{% endif %}"
        "{{ m['content'] }}</s>{% endfor %}{% if add_generation_prompt %}<assistant>"
        "{% if enable_thinking is false %}<think></think>{% endif %}{% endif %}"
    )
    encoder = Encoder(tokenizer, "chat")
    row = encoder.encode("Where?", "Paris", "k")
    assert said(encoder, row) == "Paris</s>"
    assert tokenizer.decode(list(row.ids)) == "<user>Where?</s><assistant><think></think>Paris</s>"


def test_every_token_of_a_document_is_a_label(tokenizer):
    encoder = Encoder(tokenizer, "plain")
    row = encoder.document("Ann lives in Paris", "d")
    assert row.labels == (False, *[True] * (len(row.ids) - 1))
    assert row.ids[0] == encoder.start_id == tokenizer.bos_token_id
    assert list(row.ids[1:]) == tokenizer("Ann lives in Paris", add_special_tokens=False)["input_ids"]


def test_documents_open_with_the_pre_training_separator_where_there_is_one():
    tokenizer = glued()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|endoftext|>"]})
    assert Encoder(tokenizer).start_id == tokenizer.convert_tokens_to_ids("<|endoftext|>")


@pytest.mark.parametrize("template", TEMPLATES)
def test_generation_can_stop_where_answers_stop(tokenizer, template):
    encoder = Encoder(tokenizer, template)
    assert encoder.end_ids == (tokenizer.eos_token_id,)
    if template != "bare":
        assert encoder.encode("Who?", "Ann", "k").ids[-1] in encoder.end_ids


def test_too_long_is_refused_and_never_cut():
    encoder = Encoder(tiny.byte_tokenizer(), "bare", max_length=10)
    assert len(encoder.encode("abcd", "efghi", "k").ids) == 10
    with pytest.raises(InputError, match="row forget/7: 11 tokens, the context holds 10"):
        encoder.encode("abcd", "efghij", "forget/7")
    with pytest.raises(InputError, match="row doc: 12 tokens"):
        encoder.document("a" * 11, "doc")


@pytest.mark.parametrize("text", ["", "  \n"])
def test_empty_answers_and_texts_are_refused(text):
    encoder = Encoder(tiny.byte_tokenizer(), "plain")
    with pytest.raises(InputError, match="row k: the answer is empty"):
        encoder.encode("Who?", text, "k")
    with pytest.raises(InputError, match="row k: the text is empty"):
        encoder.document("", "k")


def test_an_empty_prompt_still_has_something_before_the_answer():
    encoder = Encoder(tiny.byte_tokenizer(), "bare")
    row = encoder.encode("", "Ann", "k")
    assert row.ids[:1] == encoder.prompt_ids("") == (encoder.start_id,)
    assert row.labels == (False, True, True, True)


def test_decode_returns_the_text_without_special_tokens(tokenizer):
    encoder = Encoder(tokenizer, "plain")
    row = encoder.encode("Where was Ann born?", "Paris", "k")
    assert encoder.decode(row.ids) == "Question: Where was Ann born?\nAnswer: Paris"


def test_bad_choices_are_named():
    with pytest.raises(InputError, match="unknown template 'shouted'; known: chat, plain, short, bare"):
        Encoder(tiny.byte_tokenizer(), "shouted")
    with pytest.raises(InputError, match="no chat template"):
        Encoder(tiny.byte_tokenizer(), "chat")
