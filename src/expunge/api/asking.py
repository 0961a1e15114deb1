"""The verb ``ask``: what a model answers, beside what another answers."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from expunge.models.load import LoadedModel


@dataclass(slots=True)
class Interview:
    """One model, or two side by side, loaded once and asked as often as one likes."""

    model: str | Path
    beside: str | Path | None = None
    template: str | None = None
    max_new_tokens: int = 48
    _loaded: "dict[str, LoadedModel]" = field(default_factory=dict)

    def ask(self, question: str) -> dict[str, str]:
        """The greedy answer of each model, by the name it was loaded under."""
        from expunge.models.text_only import Turn
        from expunge.scoring.by_text import written

        answers = {}
        for name, loaded in self._models().items():
            answers[name] = written(loaded, [Turn(question)], max_new_tokens=self.max_new_tokens)[0].strip()
        return answers

    def _models(self) -> "dict[str, LoadedModel]":
        from expunge.models.load import load

        if not self._loaded:
            names = [str(name) for name in (self.model, self.beside) if name is not None]
            self._loaded = {name: load(name, template=self.template) for name in names}
        return self._loaded


def ask(
    model: str | Path,
    question: str,
    beside: str | Path | None = None,
    *,
    template: str | None = None,
    max_new_tokens: int = 48,
) -> dict[str, str]:
    """The greedy answer to ``question`` from ``model``, and from ``beside`` when given, by model name.

    Each may be the address of an OpenAI-compatible server. Raises :class:`InputError` when a model cannot be loaded
    or a server does not answer. For many questions keep an :class:`Interview`.
    """
    return Interview(model, beside, template, max_new_tokens).ask(question)
