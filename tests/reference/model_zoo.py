"""Random models of every supported family, small enough to run in milliseconds."""

from typing import Any

import torch
import transformers as hf

VOCAB, WIDTH, LAYERS = 61, 16, 3

COMMON = {
    "vocab_size": VOCAB, "hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": 2,
    "max_position_embeddings": 64, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1,
}  # fmt: skip
GROUPED = {**COMMON, "intermediate_size": 32, "num_key_value_heads": 1, "head_dim": 8}
GPT2 = {"n_embd": WIDTH, "n_layer": LAYERS, "n_head": 2, "n_positions": 64, "vocab_size": VOCAB}
DROPLESS = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0, "bos_token_id": 0, "eos_token_id": 1}

CONFIGS = {
    "llama": lambda: hf.LlamaConfig(**GROUPED),
    "llama-tied": lambda: hf.LlamaConfig(**GROUPED, tie_word_embeddings=True),
    "gpt2": lambda: hf.GPT2Config(**GPT2, **DROPLESS),
    "neox": lambda: hf.GPTNeoXConfig(**COMMON, intermediate_size=32),
    "qwen2": lambda: hf.Qwen2Config(**GROUPED),
    "qwen3": lambda: hf.Qwen3Config(**GROUPED),
    "gemma2": lambda: hf.Gemma2Config(**GROUPED, final_logit_softcapping=0.5, sliding_window=4),
    "granite": lambda: hf.GraniteConfig(**GROUPED, logits_scaling=3.0),
    "cohere": lambda: hf.CohereConfig(**{k: v for k, v in GROUPED.items() if k != "head_dim"}, logit_scale=0.25),
    "olmoe": lambda: hf.OlmoeConfig(**GROUPED, num_experts=4, num_experts_per_tok=2),
}
FAMILIES = tuple(CONFIGS)


def build(family: str, seed: int = 0) -> Any:
    """A random model with weights large enough that every part matters."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        model = hf.AutoModelForCausalLM.from_config(CONFIGS[family](), dtype=torch.float32)
        for parameter in model.parameters():
            parameter.data.add_(torch.randn(parameter.shape) * 0.2)
    return model.eval()
