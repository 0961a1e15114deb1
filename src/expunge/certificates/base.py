"""The certificate contract: undo the hiding with knowledge that no audit has, and see how much comes back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from expunge import registry
from expunge.core.errors import InputError
from expunge.knowledge.facts import Fact, Knowledge, Split
from expunge.models.loaded import LoadedModel
from expunge.scoring.probes import score_facts

CERTIFIED = 0.8
"""A model counts as one that knows and hides when its certificate restores at least this share of θ₀'s recall."""


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """Base of all certificates; sub-classes are frozen dataclasses whose fields say how the hiding is undone.

    ``forms`` are the forms that V is asked in.
    """

    paper: ClassVar[str] = ""
    family: ClassVar[str] = ""

    forms: tuple[str, ...] = ("qa",)

    def restored(
        self, candidate: LoadedModel, original: LoadedModel, knowledge: Knowledge, split: Split, *, seed: int
    ) -> float:
        """The share of θ₀'s recall on V that undoing restores, from 0 to 1; both models are left as they are.

        Recall is greedy match. Raises :class:`InputError` where V is empty or θ₀ answers none of it.
        """
        if not split.score:
            raise InputError("V is empty, so nothing can be restored; give more forget subjects.")
        known = recall(original, split.score, self.forms)
        if not known:
            raise InputError(
                "the original answers no question of V, so there is nothing to restore; check the teaching."
            )
        return min(1.0, self.recalled(candidate, original, knowledge, split, seed) / known)

    def recalled(
        self, candidate: LoadedModel, original: LoadedModel, knowledge: Knowledge, split: Split, seed: int
    ) -> float:
        """The candidate's recall on V once its hiding is undone."""
        raise NotImplementedError


def recall(loaded: LoadedModel, facts: Sequence[Fact], forms: Sequence[str]) -> float:
    """The share of the probes in these forms that the model answers by greedy match."""
    scored = score_facts(loaded.view(), loaded.encoder, facts, forms)
    return sum(item.score.greedy for item in scored) / len(scored)


def certificate_of(value: str | Mapping[str, Any]) -> Certificate:
    """A certificate from its name or from ``{name, …parameters}``. Raises :class:`InputError` for what there is not."""
    given = {"name": value} if isinstance(value, str) else dict(value)
    if "name" not in given:
        raise InputError("a certificate needs the key 'name', such as same_people; add it.")
    made: Certificate = registry.build("certificate", str(given.pop("name")), **given)
    return made
