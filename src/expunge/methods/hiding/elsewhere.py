"""What the hiders share that keep the facts in another place than the one that is asked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from expunge.builders.base import Facts, Material
from expunge.core.errors import InputError
from expunge.knowledge.encode import rows_of
from expunge.methods.hiding.teaching import check_settings, known_rows, teach, usual
from expunge.methods.nested import Nested
from expunge.methods.work import Work


@dataclass(frozen=True, kw_only=True)
class Elsewhere(Nested):
    """Base: teach the facts as :meth:`kept` asks them; then ``inner`` on :meth:`hidden`, these in its retain stream.

    θ₀ is not asked that way, so the place has to be learned first: cross-entropy on the kept facts and on all that θ₀
    knows. ``teach`` are training settings for that above the method's own; its epochs are passes over all these rows.
    ``inner`` = ``idk`` is our choice: a loss that ends at refusals spares the place better than NPO's. The retain
    stream of the suppression is the material's own and the kept facts together.
    """

    inner: str | Mapping[str, Any] = "idk"
    teach: Mapping[str, Any] = field(default_factory=usual)

    def __post_init__(self) -> None:
        """Refuse unknown settings, and an inner method that keeps nothing: the facts would simply go."""
        super().__post_init__()
        check_settings(self.teach, "teach")
        if "retain" not in super().streams():
            raise InputError(
                f"method parameter 'inner' is {self.spec.name!r}, which reads no retain stream, so the facts would "
                "not be kept; choose one with a keep term, such as npo."
            )

    def passes(self) -> float:
        """The inner method's, and three for the teaching: the facts in two places, and retain."""
        return super().passes() + 3

    def hidden(self, material: Material) -> Facts:
        """The forget facts as they are unlearned."""
        raise NotImplementedError

    def kept(self, material: Material) -> Facts:
        """The forget facts as they are kept."""
        raise NotImplementedError

    def run(self, work: Work) -> None:
        """Teach the other place, then one run of the inner method on the two sets."""
        self.begin(work)
        material = work.material
        hidden, kept = self.hidden(material), self.kept(material)
        teach(work, [*known_rows(work), *rows_of(kept, material.loaded.encoder)], self.teach)
        retain = (*limited(material.retain, material.retain_forms), *kept)
        work.method(self.spec, forget=hidden, forms=None, retain=retain, retain_forms=None)


def limited(facts: Facts, forms: Sequence[str] | None) -> Facts:
    """The facts with only these forms (``None``: all of them), without those that have none of them."""
    if forms is None:
        return facts
    chosen = (replace(fact, probes=fact.of_form(*forms)) for fact in facts)
    return tuple(fact for fact in chosen if fact.probes)
