"""Small random models and tokenizers built in code: no files, no network, the same for the same seed."""

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, OlmoeConfig, OlmoeForCausalLM, PreTrainedTokenizerFast

BOS, EOS, PAD = SPECIALS = ("<s>", "</s>", "<pad>")
CONTEXT = 1024

M = TypeVar("M", bound=torch.nn.Module)


def _seeded(build: type[M], config: Any, seed: int) -> M:
    """A model with weights that depend on ``seed`` only; the caller's random state is left as it was."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        model = build(config)
    return model.eval()


def _common(vocab_size: int, hidden: int, layers: int, heads: int, tied: bool) -> dict[str, Any]:
    """Config values that both families share; special ids are those of the tokenizers below."""
    return {
        "vocab_size": vocab_size, "hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads,
        "num_key_value_heads": heads, "max_position_embeddings": CONTEXT, "tie_word_embeddings": tied,
        "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2,
    }  # fmt: skip


def tiny_llama(
    vocab_size: int = 259, hidden: int = 64, layers: int = 2, heads: int = 4, seed: int = 0, *, tied: bool = True
) -> LlamaForCausalLM:
    """A random Llama in fp32, in eval mode."""
    config = LlamaConfig(intermediate_size=3 * hidden, **_common(vocab_size, hidden, layers, heads, tied))
    return _seeded(LlamaForCausalLM, config, seed)


def tiny_moe(
    vocab_size: int = 259,
    hidden: int = 64,
    layers: int = 2,
    heads: int = 4,
    seed: int = 0,
    *,
    experts: int = 4,
    active: int = 2,
    tied: bool = False,
) -> OlmoeForCausalLM:
    """A random OLMoE in fp32, in eval mode: ``active`` of ``experts`` experts for each token."""
    config = OlmoeConfig(
        intermediate_size=2 * hidden, num_experts=experts, num_experts_per_tok=active,
        **_common(vocab_size, hidden, layers, heads, tied),
    )  # fmt: skip
    return _seeded(OlmoeForCausalLM, config, seed)


def small_llama(texts: Iterable[str], seed: int = 0) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """A Llama of 4 layers × 256 and a tokenizer trained on ``texts``; big enough to be taught a world."""
    tokenizer = word_tokenizer(texts)
    return tiny_llama(len(tokenizer), hidden=256, layers=4, heads=4, seed=seed), tokenizer


def word_tokenizer(texts: Iterable[str], vocab_size: int = 2048) -> PreTrainedTokenizerFast:
    """Byte-level BPE trained on ``texts``: frequent words become one token, any text still round-trips.

    Each text is counted once, in sorted order, so that the result depends on the set of texts only.
    """
    tokenizer = _byte_level()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=list(SPECIALS), show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )  # fmt: skip
    tokenizer.train_from_iterator(sorted(set(texts)), trainer)
    return _wrapped(tokenizer)


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """One token a byte, 259 ids in all."""
    return _wrapped(_byte_level([*SPECIALS, *sorted(pre_tokenizers.ByteLevel.alphabet())]))


def _byte_level(tokens: Sequence[str] = ()) -> Tokenizer:
    """An untrained byte-level BPE tokenizer that adds nothing to the text."""
    tokenizer = Tokenizer(models.BPE(vocab={token: index for index, token in enumerate(tokens)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _wrapped(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    """The transformers face of ``tokenizer``: beginning, end and padding are three distinct tokens."""
    face: Any = PreTrainedTokenizerFast
    wrapped: PreTrainedTokenizerFast = face(
        tokenizer_object=tokenizer, bos_token=BOS, eos_token=EOS, pad_token=PAD,
        clean_up_tokenization_spaces=False, model_max_length=CONTEXT,
    )  # fmt: skip
    return wrapped
