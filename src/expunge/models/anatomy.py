"""Where the parts of a causal language model are: blocks, MLPs, final norm, unembedding, routers.

One vocabulary of attribute names covers Llama-, GPT-2-, NeoX-, Qwen-, Gemma- and OLMoE-like models; a peft wrapper is
looked through. What is not found is an error, never a guess.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from expunge.core.errors import InputError

BLOCKS = ("layers", "h", "blocks")
FINAL_NORM = ("norm", "ln_f", "final_layer_norm", "final_layernorm", "norm_f")
MLP = ("mlp", "feed_forward", "block_sparse_moe")
MLP_OUTPUT = ("down_proj", "c_proj", "dense_4h_to_h", "fc2", "fc_out", "w2")
ROUTER = ("gate", "router")
INNER = ("language_model", "decoder")


@dataclass(frozen=True)
class Anatomy:
    """The parts of one model. ``model`` is the causal language model itself, below any peft wrapper.

    ``stack`` maps token ids to the final hidden state (embedding, blocks, final norm); ``head`` maps that to logits.
    Blocks are counted from 0.
    """

    model: nn.Module
    stack: nn.Module
    embed: nn.Module
    blocks: nn.ModuleList
    final_norm: nn.Module
    head: nn.Module
    blocks_path: str

    @classmethod
    def find(cls, model: nn.Module) -> "Anatomy":
        """The anatomy of ``model``; :class:`InputError` names the part that cannot be found."""
        base = unwrap(model)
        stack = _stack(base)
        head, embed = base.get_output_embeddings(), base.get_input_embeddings()
        if head is None:
            raise InputError(f"{type(base).__name__} has no unembedding; load a causal language model.")
        blocks = _first(stack, BLOCKS, base)
        path = next(name for name, module in base.named_modules() if module is blocks)
        return cls(base, stack, embed, blocks, _first(stack, FINAL_NORM, base), head, path)

    @property
    def config(self) -> Any:
        """The transformers config of the text model."""
        model: Any = self.model
        return model.config.get_text_config()

    @property
    def num_layers(self) -> int:
        """Number of blocks."""
        return len(self.blocks)

    def block(self, layer: int) -> nn.Module:
        """Block ``layer``; :class:`InputError` when the model has no such block."""
        if not 0 <= layer < self.num_layers:
            raise InputError(f"layer {layer} is not in this model; choose 0 to {self.num_layers - 1}.")
        block: nn.Module = self.blocks[layer]
        return block

    def mlp(self, layer: int) -> nn.Module:
        """The feed-forward part of a block (dense or mixture of experts)."""
        mlp: nn.Module = _first(self.block(layer), MLP, self.model)
        return mlp

    def mlp_output(self, layer: int) -> nn.Module:
        """The linear map that writes the MLP's result to the residual stream.

        GPT-2 keeps it as ``Conv1D``, whose weight is transposed. Raises :class:`InputError` for a mixture of experts,
        where there is one map an expert.
        """
        mlp = self.mlp(layer)
        if hasattr(mlp, "experts"):
            raise InputError(f"layer {layer} is a mixture of experts and has no single MLP output; use mlp().experts.")
        linear: nn.Module = _first(mlp, MLP_OUTPUT, self.model)
        return linear

    def router(self, layer: int) -> nn.Module | None:
        """The router of a mixture-of-experts block, ``None`` in a dense one."""
        mlp = self.mlp(layer)
        if not hasattr(mlp, "experts"):
            return None
        router: nn.Module = _first(mlp, ROUTER, self.model)
        return router

    def layer_of(self, name: str) -> int | None:
        """The block that a parameter name lies in; ``None`` for embedding, final norm and head.

        Works for names of the model itself and of a peft wrapper around it.
        """
        match = re.search(rf"(?:^|\.){re.escape(self.blocks_path)}\.(\d+)\.", name)
        return int(match.group(1)) if match else None


def unwrap(model: nn.Module) -> Any:
    """The model below a peft wrapper. Prompt-learning wrappers are refused: they live outside the model."""
    if not hasattr(model, "peft_config"):
        return model
    configs: dict[str, Any] = model.peft_config  # type: ignore[assignment]
    if any(config.is_prompt_learning for config in configs.values()):
        raise InputError("prompt-learning adapters are not supported; use LoRA or full weights.")
    wrapper: Any = model
    return wrapper.get_base_model() if hasattr(wrapper, "get_base_model") else wrapper


def _stack(base: Any) -> nn.Module:
    """The module that owns the blocks."""
    for module in _candidates(base):
        if any(isinstance(getattr(module, name, None), nn.ModuleList) for name in BLOCKS):
            return module
    raise InputError(
        f"{type(base).__name__} is not a known decoder (no {', '.join(BLOCKS)} found); "
        "use a Llama-, GPT-2-, NeoX-, Qwen-, Gemma- or OLMoE-like model."
    )


def _candidates(base: Any) -> Iterator[nn.Module]:
    """``base``'s transformer, then the text part inside it where the transformer is a composite."""
    outer = getattr(base, getattr(base, "base_model_prefix", "") or "model", None)
    if isinstance(outer, nn.Module):
        yield outer
        yield from (inner for name in INNER if isinstance(inner := getattr(outer, name, None), nn.Module))


def _first(owner: nn.Module, names: Sequence[str], model: nn.Module) -> Any:
    """The first attribute of ``owner`` among ``names``."""
    for name in names:
        if isinstance(module := getattr(owner, name, None), nn.Module):
            return module
    raise InputError(f"{type(model).__name__}: {type(owner).__name__} has none of {', '.join(names)}; not supported.")
