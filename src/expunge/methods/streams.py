"""Where a stream's rows come from: the knowledge itself, one of its extra streams, or a builder."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from expunge import registry
from expunge.builders.base import Facts, Material
from expunge.core.errors import InputError
from expunge.core.seeds import derive
from expunge.distributed.sharding import ranks_of
from expunge.knowledge.encode import rows_of
from expunge.methods.grammar import Part
from expunge.models.rows import Row

HELD_OUT, EVERY = "held_out", 8
"""The stream that a utility budget is measured on, and one of how many retain subjects goes there (our choice)."""


@dataclass
class Streams:
    """The streams of one unlearning run, made when they are first asked for.

    ``builders`` name the builder of a stream; a stream without one is made by the first registered builder that
    provides it.
    """

    material: Material
    builders: Mapping[str, Part] = field(default_factory=dict)
    built: dict[str, Facts] = field(default_factory=dict)
    encoded: dict[str, list[Row]] = field(default_factory=dict)

    def prepare(self, names: Iterable[str]) -> None:
        """Make those of ``names`` that a builder makes, while the model still is θ₀."""
        for name in names:
            if name in self.builders or _builder_of(name):
                self.facts(name)

    def facts(self, name: str) -> Facts:
        """The facts of a stream. Raises :class:`InputError` where there are none and no builder makes any."""
        material = self.material
        given = {**material.extra, **self.built, "forget": material.forget, "retain": material.retain}
        if name in self.builders or (name not in given and _builder_of(name)):
            self.built.update(self._build(name))
            given |= self.built
        if not given.get(name):
            raise InputError(f"the method reads the stream {name!r}, which has no rows; give some, or another method.")
        return given[name]

    def hold_out(self) -> str:
        """Take some subjects out of the stream ``retain``, once, and name the stream that has them.

        What a model is trained to keep it keeps longer than anything else. Where there are fewer than :data:`EVERY`
        subjects, none can be spared, and the stream is ``retain`` itself.
        """
        subjects = list(dict.fromkeys(fact.subject for fact in self.material.retain))
        if HELD_OUT not in self.built and len(subjects) >= EVERY:
            held = set(subjects[EVERY - 1 :: EVERY])
            parts = [tuple(f for f in self.material.retain if (f.subject in held) is out) for out in (False, True)]
            self.material, self.built[HELD_OUT] = replace(self.material, retain=parts[0]), parts[1]
            self.encoded.pop("retain", None)
        return HELD_OUT if HELD_OUT in self.built else "retain"

    def rows(self, name: str) -> list[Row]:
        """The token rows of a stream."""
        if name not in self.encoded:
            facts = self.facts(name)
            self.encoded[name] = rows_of(facts, self.material.loaded.encoder, self._forms(name, facts))
        if not self.encoded[name]:
            raise InputError(f"the stream {name!r} has no row of the wanted forms; change the forms or the method.")
        return self.encoded[name]

    def _forms(self, name: str, facts: Facts) -> tuple[str, ...] | None:
        """The surfaces that are trained on: the forget facts' own, also where a built stream answers them."""
        material = self.material
        if name in ("retain", HELD_OUT):
            return material.retain_forms
        forget = {fact.id for fact in material.forget}
        answers = name in self.built and all(fact.id in forget for fact in facts)
        return material.forms if name == "forget" or answers else None

    def _build(self, name: str) -> dict[str, Facts]:
        if name in self.built:
            return {}
        part = self.builders.get(name) or Part("builder", _builder_of(name))
        material = replace(self.material, seed=derive(self.material.seed, "builder", name))
        built: dict[str, Facts] = part.build().build(material)
        # Processes that share a model must train on the very same rows, whatever made them.
        made = ranks_of(material.loaded.model).from_first(built)
        if name not in made:
            raise InputError(f"builder {part.name!r} does not make the stream {name!r}; choose another one.")
        return made


def _builder_of(stream: str) -> str:
    """The first registered builder that provides ``stream``, or nothing."""
    for entry in registry.entries("builder"):
        provides: tuple[str, ...] = getattr(entry.factory, "provides", ())
        if stream in provides:
            return entry.name
    return ""
