"""The sizes of the weights are put back first."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from expunge.attacks.relearn import attacked_copy
from expunge.certificates.base import Certificate, certificate_of
from expunge.combine.rescaling import between, pairs
from expunge.core.errors import InputError
from expunge.knowledge.facts import Knowledge, Split
from expunge.models.loaded import LoadedModel
from expunge.registry import certificate


@certificate("rescaled")
@dataclass(frozen=True, kw_only=True)
class Rescaled(Certificate):
    """``inner`` on the candidate with the channel sizes of θ₀; for ``hide_rescaled``.

    The scales are powers of two, which the norms of θ₀'s channels give away exactly, so no seed has to be kept. On a
    model that was never rescaled they are 1, but for channels that training changed by more than √2.
    """

    inner: str | Mapping[str, Any] = "same_people"

    def __post_init__(self) -> None:
        """Read ``inner`` once, so that a mistake in it shows here."""
        certificate_of(self.inner)

    def recalled(
        self, candidate: LoadedModel, original: LoadedModel, knowledge: Knowledge, split: Split, seed: int
    ) -> float:
        """See the class."""
        return certificate_of(self.inner).recalled(levelled(candidate, original), original, knowledge, split, seed)


def levelled(candidate: LoadedModel, original: LoadedModel) -> LoadedModel:
    """A copy of the candidate with every channel rescaled, by a power of two, to θ₀'s size.

    Raises :class:`InputError` for models of different shapes.
    """
    copied = attacked_copy(candidate)
    found, theirs = pairs(copied.model), pairs(original.model)
    if {name: pair.shape for name, pair in found.items()} != {name: pair.shape for name, pair in theirs.items()}:
        raise InputError("the candidate and the original have other shapes; choose another certificate.")
    for name, exponents in between(found, theirs).items():
        found[name].scale_(-exponents)
    return copied
