"""A model in memory with all that is needed to put text into it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from expunge.models.chat import Encoder
from expunge.models.view import View

CARD = "expunge.json"  # the file that says how a saved model was made; its ``template`` is read on loading


@dataclass
class LoadedModel:
    """A model, its tokenizer and encoder.

    ``fingerprint`` is that of the moment of loading; training the model does not change it. ``provenance`` is what
    the folder's ``expunge.json`` said, empty where there was none.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    encoder: Encoder
    source: str
    fingerprint: str
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def view(self) -> View:
        """A view of the model."""
        return View(self.model, self.encoder.pad_id)


def default_template(tokenizer: Any) -> str:
    """``chat`` where the tokenizer has a chat template, else ``plain``."""
    return "chat" if tokenizer.chat_template else "plain"


def context_length(model: Any, tokenizer: Any) -> int | None:
    """The longest row that both model and tokenizer take, in tokens; ``None`` where neither has a limit."""
    config = model.config.get_text_config()
    limits = (getattr(config, "max_position_embeddings", None), tokenizer.model_max_length)
    return min((limit for limit in limits if isinstance(limit, int) and limit > 0), default=None)


def assemble(
    model: Any,
    tokenizer: Any,
    source: str,
    fingerprint: str,
    *,
    template: str | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> LoadedModel:
    """A :class:`LoadedModel`; the template is the one given, else the recorded one, else the tokenizer's default."""
    card = provenance or {}
    chosen = template or card.get("template") or default_template(tokenizer)
    encoder = Encoder(tokenizer, chosen, context_length(model, tokenizer))
    return LoadedModel(model, tokenizer, encoder, source, fingerprint, card)
