"""The sections ``innocents`` and ``examine``: a pool of models whose truth is known, to examine the audit on.

``innocents`` are further models that were never taught the forget facts. ``examine`` says of every method whether it
hides (with the certificate that proves it) or only damages, and which labels were held out of every design choice.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from expunge import registry
from expunge.core.errors import InputError
from expunge.methods.fields import check_keys, fill
from expunge.methods.grammar import Part
from expunge.registry import suggestion

if TYPE_CHECKING:
    from expunge.study.recipe import Recipe

SIZES = ("layers", "hidden", "heads")
"""What an innocent's model may differ in; another tokenizer would make probabilities incomparable."""
FIRST_NUMBER = 2
"""0 is the control's seed, 1 the null row's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Innocent:
    """A never-taught model in a method's place: a trunk with a seed of its own (``number``, from 2).

    ``model`` changes its size (layers, hidden, heads), ``train`` how it is taught the retain facts, ``forms`` in which
    forms. Models of one ``family`` (default: the label) are held out together. With ``certificate`` it goes through
    what hiders go through, and should restore nothing.
    """

    label: str
    number: int
    family: str = ""
    model: Mapping[str, int] = field(default_factory=dict)
    train: Mapping[str, Any] = field(default_factory=dict)
    forms: tuple[str, ...] | None = None
    certificate: Part | None = None

    @classmethod
    def parse(cls, raw: Any, position: int) -> "Innocent":
        """One entry of ``innocents``; without a ``number`` its ``position`` gives one."""
        if not isinstance(raw, Mapping) or "label" not in raw:
            raise InputError("each entry of 'innocents' needs a 'label', such as {label: wider, model: {hidden: 192}}.")
        found = fill(cls, {"number": FIRST_NUMBER + position, **raw}, f"innocent {raw['label']!r}")
        check_keys(found.model, SIZES, f"model of innocent {found.label!r}")
        if found.number < FIRST_NUMBER:
            raise InputError(
                f"innocent {found.label!r} has the number {found.number}; 0 and 1 are taken, give another."
            )
        return dataclasses.replace(
            found,
            family=str(found.family or found.label),
            forms=None if found.forms is None else tuple(found.forms),
            certificate=None if found.certificate is None else certificate_of(found.certificate),
        )

    def as_dict(self) -> dict[str, Any]:
        """The plain form that :meth:`parse` reads."""
        plain = {name: getattr(self, name) for name in ("label", "number", "family")}
        more = {"model": dict(self.model), "train": dict(self.train)}
        forms = {} if self.forms is None else {"forms": list(self.forms)}
        certificate = {} if self.certificate is None else {"certificate": self.certificate.as_dict()}
        return {**plain, **more, **forms, **certificate}


@dataclass(frozen=True, slots=True, kw_only=True)
class Examine:
    """What is known of the pool: ``hiders`` (label → certificate), ``damaged`` labels, and ``held_out`` labels."""

    hiders: Mapping[str, Part]
    damaged: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()

    @classmethod
    def parse(cls, raw: Any) -> "Examine":
        """The section of a recipe; :class:`InputError` without a hider."""
        mapping = check_keys(raw, [item.name for item in dataclasses.fields(cls)], "examine")
        hiders = mapping.get("hiders")
        if not isinstance(hiders, Mapping) or not hiders:
            raise InputError("examine.hiders must map labels of methods to certificates; name at least one.")
        certified = {str(label): certificate_of(entry) for label, entry in hiders.items()}
        others = {key: tuple(map(str, mapping.get(key) or ())) for key in ("damaged", "held_out")}
        return cls(hiders=certified, **others)

    def as_dict(self) -> dict[str, Any]:
        """The plain form that :meth:`parse` reads."""
        hiders = {label: part.as_dict() for label, part in self.hiders.items()}
        return {"hiders": hiders, "damaged": list(self.damaged), "held_out": list(self.held_out)}


def certificate_of(entry: Any) -> Part:
    """A certificate from its name or ``{name, …parameters}``, built once so that mistakes show here."""
    if isinstance(entry, Part):
        return entry
    raw = {"name": entry} if isinstance(entry, str) else entry
    if not isinstance(raw, Mapping) or "name" not in raw:
        raise InputError(f"the certificate {entry!r} must be a name or a mapping with the key 'name'; rewrite it.")
    part = Part("certificate", str(raw["name"]), {key: value for key, value in raw.items() if key != "name"})
    registry.build("certificate", part.name, **part.params)
    return part


def check_pool(recipe: "Recipe") -> None:
    """Refuse a pool whose truth would not be known, or that was not held out by family."""
    if recipe.innocents and recipe.examine is None:
        raise InputError("'innocents' are models to examine the audit on; add the section 'examine'.")
    if recipe.examine is None:
        return
    if recipe.tune is not None or recipe.given is not None or not all(world.taught for world in recipe.knowledge):
        raise InputError(
            "'examine' needs worlds that are taught, and neither 'tune' nor 'given'; remove what conflicts."
        )
    _check_innocents(recipe)
    families = families_of(recipe)
    _check_names(recipe, recipe.examine, families)
    _check_held_out(recipe, recipe.examine, families)


def families_of(recipe: "Recipe") -> dict[str, str]:
    """Label → family: an innocent's own, a method's name without its hyper-parameters."""
    specs = [spec for world in recipe.knowledge for spec in recipe.methods_of(world)]
    return {**{one.label: one.family for one in recipe.innocents}, **{spec.label: spec.name for spec in specs}}


def _check_innocents(recipe: "Recipe") -> None:
    numbers = [one.number for one in recipe.innocents]
    methods = {spec.label for world in recipe.knowledge for spec in recipe.methods_of(world)}
    for one in recipe.innocents:
        if one.label in methods:
            raise InputError(f"{one.label!r} is the label of an innocent and of a method; rename one.")
        if numbers.count(one.number) > 1:
            raise InputError(f"two innocents have the number {one.number}, so they might be one model; change one.")
        if one.model and recipe.model.source != "small":
            raise InputError(f"innocent {one.label!r} changes sizes, which only the model 'small' has; remove 'model'.")


def _check_names(recipe: "Recipe", examine: Examine, families: Iterable[str]) -> None:
    """Every method is a hider or damaged, in every world, and every name is one that there is."""
    for world in recipe.knowledge:
        labels = [spec.label for spec in recipe.methods_of(world)]
        for label in (*examine.hiders, *examine.damaged):
            if label not in labels:
                raise InputError(f"examine names the method {label!r}; {suggestion(label, labels)}")
        for label in labels:
            if (label in examine.hiders) == (label in examine.damaged):
                raise InputError(
                    f"method {label!r} must stand in examine.hiders or in examine.damaged, and in one only."
                )
    for label in examine.held_out:
        if label not in families:
            raise InputError(f"examine.held_out names {label!r}; {suggestion(label, families)}")


def _check_held_out(recipe: "Recipe", examine: Examine, families: Mapping[str, str]) -> None:
    """A family is held out whole, and not if the audit itself uses it."""
    out = {families[label] for label in examine.held_out}
    for label, family in families.items():
        if family in out and label not in examine.held_out:
            raise InputError(f"{label!r} is of the held-out family {family!r}; hold it out too, or none of them.")
    if recipe.audit.hider in examine.held_out:
        raise InputError(f"the audit's known hider {recipe.audit.hider!r} cannot be held out; the audit uses it.")
