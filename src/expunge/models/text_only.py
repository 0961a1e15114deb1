"""A model of which only what it writes is seen: no weights, no activations, no probabilities."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NoReturn, cast

from expunge.core.errors import InputError
from expunge.models.chat import NO_LIMIT, Encoder
from expunge.models.loaded import LoadedModel
from expunge.models.tiny import byte_tokenizer

JOINED = "{% for message in messages %}{{ message['content'] }}{% endfor %}"


@dataclass(frozen=True, slots=True)
class Turn:
    """What is put to a model: a question, or (``raw``) a text to go on with; ``begun`` opens the answer."""

    prompt: str
    begun: str = ""
    raw: bool = False


class Absent:
    """Stands where weights would be; whoever reaches for them gets one sentence."""

    def __init__(self, source: str) -> None:
        self._source = source

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise InputError(f"{self._source} is seen in text alone, and this needs its weights; give a folder of them.")


class TextOnly(LoadedModel):
    """Base of models that are only asked.

    Its encoder is the same for every such model, so that all meet the same prompts: a token a byte, no limit of
    length. No model reads those tokens.
    """

    def __init__(self, source: str, fingerprint: str) -> None:
        encoder = neutral_encoder()
        super().__init__(cast(Any, Absent(source)), encoder.tokenizer, encoder, source, fingerprint)

    def view(self) -> Any:
        """Something that looks like a view and refuses every use."""
        return self.model

    def say(self, turns: Sequence[Turn], *, max_new_tokens: int, temperature: float = 0.0, seed: int = 0) -> list[str]:
        """What the model writes after each turn, in order; temperature 0 is greedy."""
        raise NotImplementedError


@cache
def neutral_encoder() -> Encoder:
    """Bytes for tokens, and a chat template that adds nothing."""
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = JOINED
    tokenizer.model_max_length = NO_LIMIT
    return Encoder(tokenizer, "chat")
