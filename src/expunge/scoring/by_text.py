"""What models write, in memory or behind an endpoint, and a model in memory as its users see it behind one."""

from collections.abc import Sequence

from expunge.models.chat import Encoder
from expunge.models.loaded import LoadedModel
from expunge.models.text_only import TextOnly, Turn
from expunge.scoring.generate import Ids, generate

ANSWER_TOKENS = 64
"""New tokens of an answer that is judged by its text (our choice: a few sentences)."""


def written(
    loaded: LoadedModel, turns: Sequence[Turn], *, max_new_tokens: int, temperature: float = 0.0, seed: int = 0
) -> list[str]:
    """What the model writes after each turn, in order; temperature 0 is greedy."""
    if isinstance(loaded, TextOnly):
        return loaded.say(turns, max_new_tokens=max_new_tokens, temperature=temperature, seed=seed)
    ids = [turn_ids(loaded.encoder, turn) for turn in turns]
    return generate(
        loaded.view(), loaded.encoder, ids, max_new_tokens=max_new_tokens, temperature=temperature, seed=seed
    )


def turn_ids(encoder: Encoder, turn: Turn) -> Ids:
    """The tokens that stand before the answer, or before the rest of one that is begun."""
    own = encoder.raw if turn.raw else encoder
    if not turn.begun.strip():
        return own.prompt_ids(turn.prompt)
    row = own.encode(turn.prompt, "x", "turn", begun=turn.begun)
    return row.ids[: row.labels.index(True)]


class SeenInText(TextOnly):
    """A model in memory of which only the text is looked at, so that it can stand beside an endpoint."""

    prefills = True

    def __init__(self, inner: LoadedModel) -> None:
        super().__init__(inner.source, inner.fingerprint)
        self.inner = inner

    def say(self, turns: Sequence[Turn], *, max_new_tokens: int, temperature: float = 0.0, seed: int = 0) -> list[str]:
        """Generation in the model's own template."""
        return written(self.inner, turns, max_new_tokens=max_new_tokens, temperature=temperature, seed=seed)


def in_text(loaded: LoadedModel) -> TextOnly:
    """The model with nothing but its text to be seen."""
    return loaded if isinstance(loaded, TextOnly) else SeenInText(loaded)
