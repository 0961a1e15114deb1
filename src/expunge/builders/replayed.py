"""Replayed text: what the original model itself writes about everyone but the subjects to be forgotten."""

from dataclasses import dataclass
from typing import ClassVar

from expunge.builders.base import Builder, Facts, Material, documents
from expunge.builders.samples import SHORTEST_NAME, written
from expunge.core.errors import InputError
from expunge.registry import builder


@builder("replayed")
@dataclass(frozen=True, kw_only=True)
class Replayed(Builder):
    """``num`` texts of at most ``max_new_tokens`` tokens, written from nothing at temperature 1; stream ``replayed``.

    A text that names a subject of the forget facts is thrown away. An answer may stand in it: who shares an answer
    with a forgotten subject keeps it. That is why :class:`StoredSamples`, which bars answers too, does not serve here.
    Sizes are our choice: enough that what the model knows well is written about several times.
    """

    provides: ClassVar[tuple[str, ...]] = ("replayed",)
    num: int = 2000
    max_new_tokens: int = 24

    def __post_init__(self) -> None:
        """Refuse to write nothing."""
        for key in ("num", "max_new_tokens"):
            if getattr(self, key) < 1:
                raise InputError(f"builder parameter {key!r} is {getattr(self, key)}; it must be at least 1.")

    def build(self, material: Material) -> dict[str, Facts]:
        """The stream; :class:`InputError` where the model writes of nothing but what is to be forgotten."""
        names = {fact.subject.strip().casefold() for fact in material.forget}
        barred = {name for name in names if len(name) >= SHORTEST_NAME}
        view, encoder = material.loaded.view(), material.loaded.encoder
        texts = written(view, encoder, self.num, self.max_new_tokens, seed=material.seed, barred=barred)
        return {"replayed": documents(texts, "replayed")}
