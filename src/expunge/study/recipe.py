"""What a recipe may say. Every key is a field here; an unknown one is a sentence with a suggestion.

The resolved recipe (:meth:`Recipe.as_dict`) is saved beside the results and reads back to the same recipe.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from expunge.core.errors import InputError
from expunge.methods.fields import check_keys, fill
from expunge.methods.grammar import MethodSpec
from expunge.registry import suggestion
from expunge.study.executors.choice import Choice
from expunge.study.overrides import apply
from expunge.study.pool import Examine, Innocent, check_pool
from expunge.study.released import baseline_of, check_budgets, listed, released
from expunge.study.sections import Attack, AuditSection, EvalSection, Given, Model, Teach, Unlearn, World
from expunge.study.tuning.checks import check
from expunge.study.tuning.section import Tune
from expunge.study.yaml import read


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One study: worlds × replicates × methods × attacks.

    ``seeds`` draw whole replicates. ``null`` puts a second never-trained seed in θᵤ's place. ``placebo`` attacks
    facts that no model ever saw as well, where the world has some: the control where nothing is taught, and else the
    check that the unlearned model still learns. ``workers`` processes of ``threads`` threads each run the cells (0
    workers: in this process; 0 threads: the processors shared out evenly). ``processes`` above 1 spread the models
    of a cell over so many processes of its machine, which share its threads (:mod:`expunge.study.together`); they are
    no part of any cell. ``keep_models`` off removes a model as soon as every cell that reads it is done. ``budgets``
    release every method once for each utility budget (:mod:`expunge.study.released`). ``tune`` is what ``expunge tune``
    follows; a study itself does not read it.
    ``given`` names models that somebody else made; they are audited, and nothing is taught. ``innocents`` and
    ``examine`` make a pool of models whose truth is known, to examine the audit on (:mod:`expunge.study.pool`).
    ``executor`` says where cells run (:mod:`expunge.study.executors`); it is no part of any cell. ``requests`` above 1
    cuts the forget subjects into that many, which every method unlearns one after another
    (:mod:`expunge.study.plan_requests`).
    """

    name: str
    model: Model
    knowledge: tuple[World, ...]
    methods: tuple[MethodSpec, ...] = ()
    attacks: tuple[Attack, ...] = ()
    teach: Teach = field(default_factory=Teach)
    unlearn: Unlearn = field(default_factory=Unlearn)
    eval: EvalSection = field(default_factory=EvalSection)
    audit: AuditSection = field(default_factory=AuditSection)
    seeds: tuple[int, ...] = (0,)
    null: bool = True
    placebo: bool = True
    workers: int = 1
    threads: int = 0
    processes: int = 1
    keep_models: bool = True
    budgets: tuple[float, ...] = ()
    tune: Tune | None = None
    given: Given | None = None
    innocents: tuple[Innocent, ...] = ()
    examine: Examine | None = None
    executor: Choice | None = None
    requests: int = 1

    def listed(self, world: World) -> tuple[MethodSpec, ...]:
        """The world's own methods, else the recipe's."""
        return world.methods if world.methods is not None else self.methods

    def methods_of(self, world: World) -> tuple[MethodSpec, ...]:
        """The world's methods as they are run: one variant for every budget."""
        return tuple(variant for spec in self.listed(world) for variant in released(spec, self.budgets))

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for YAML; :func:`resolve` of it gives the same recipe."""
        fields = (item for item in dataclasses.fields(self) if getattr(self, item.name) is not None)
        unsaid = {"innocents": (), "requests": 1, "processes": 1}
        fields = (item for item in fields if item.name not in unsaid or getattr(self, item.name) != unsaid[item.name])
        plain = {item.name: _plain(getattr(self, item.name)) for item in fields}
        return {**plain, "knowledge": [world.as_dict() for world in self.knowledge]}


def load(source: str | Path | Mapping[str, Any], overrides: Iterable[str] = ()) -> Recipe:
    """A recipe from a YAML file or a mapping, with ``key.sub=value`` overrides applied first.

    Raises :class:`InputError` for a missing or malformed file, an unknown key, name or hyper-parameter.
    """
    raw = source if isinstance(source, Mapping) else read(Path(source))
    if not isinstance(raw, Mapping):
        raise InputError(f"{source} is not a recipe; it must be a mapping of keys to values.")
    named = {"name": Path(source).stem} if not isinstance(source, Mapping) else {}
    return resolve({**named, **apply(raw, overrides)})


def resolve(raw: Mapping[str, Any]) -> Recipe:
    """The typed recipe of a plain mapping."""
    keys = (*(item.name for item in dataclasses.fields(Recipe)), "replicates")
    named = {"null" if key is None else key: value for key, value in raw.items()}  # YAML reads the key null as nothing
    mapping = dict(check_keys(named, keys, "the recipe"))
    for key in ("model", "knowledge"):
        if not mapping.get(key):
            raise InputError(f"the recipe needs the key {key!r}; add it.")
    if "replicates" in mapping:
        mapping["seeds"] = list(range(int(mapping.pop("replicates"))))
    worlds = mapping["knowledge"] if isinstance(mapping["knowledge"], list) else [mapping["knowledge"]]
    mapping["knowledge"] = _labelled([World.parse(_short(world, "name")) for world in worlds], "knowledge")
    mapping["model"] = fill(Model, _short(mapping["model"], "source"), "model")
    mapping["methods"] = _labelled([listed(entry) for entry in _list(mapping, "methods")], "methods")
    attacks = [Attack.parse(_short(entry, "name")) for entry in _list(mapping, "attacks")]
    mapping["attacks"] = _labelled(attacks, "attacks")
    for key, cls in SECTIONS.items():
        mapping[key] = fill(cls, mapping.get(key) or {}, key)
    mapping["seeds"] = tuple(int(seed) for seed in _list(mapping, "seeds") or [0])
    mapping["budgets"] = check_budgets(tuple(_list(mapping, "budgets")))
    mapping["tune"] = Tune.parse(mapping["tune"]) if mapping.get("tune") is not None else None
    mapping["given"] = Given.parse(mapping["given"]) if mapping.get("given") is not None else None
    innocents = [Innocent.parse(entry, position) for position, entry in enumerate(_list(mapping, "innocents"))]
    mapping["innocents"] = _labelled(innocents, "innocents")
    mapping["examine"] = Examine.parse(mapping["examine"]) if mapping.get("examine") is not None else None
    mapping["executor"] = Choice.parse(mapping["executor"]) if mapping.get("executor") is not None else None
    return _checked(fill(Recipe, mapping, "the recipe"))


BEYOND_TEXT = ("benchmark_scores", "generative", "engine")
"""What of an evaluation needs a model that can be run."""
SECTIONS: Mapping[str, type] = {"teach": Teach, "unlearn": Unlearn, "eval": EvalSection, "audit": AuditSection}


def _checked(recipe: Recipe) -> Recipe:
    """``recipe``, when its parts fit together."""
    if len(set(recipe.seeds)) != len(recipe.seeds):
        raise InputError("seeds must differ from each other; a repeated seed is not another replicate.")
    if recipe.workers < 0 or recipe.threads < 0:
        raise InputError("workers and threads must be at least 0; correct them.")
    if isinstance(recipe.processes, bool) or not isinstance(recipe.processes, int) or recipe.processes < 1:
        raise InputError(f"processes is {recipe.processes!r}; it must be a whole number from 1, such as 4.")
    for world in recipe.knowledge:
        if recipe.given is not None:
            _check_given(recipe, recipe.given, world)
        elif not recipe.methods_of(world):
            raise InputError(f"knowledge {world.label!r} has no methods; name some under 'methods', such as [npo].")
        if not world.taught and recipe.model.built_in and recipe.given is None:
            raise InputError(
                f"knowledge {world.name!r} is never taught, so model {recipe.model.source!r} with random weights "
                "cannot know it; choose a pretrained model, or set its 'taught' to true."
            )
    check(recipe)
    check_pool(recipe)
    _check_requests(recipe)
    _check_baseline(recipe)
    return recipe


def _check_baseline(recipe: Recipe) -> None:
    """A baseline that is no method anywhere would silently be nobody."""
    named, labels = recipe.audit.baseline, {m.label for world in recipe.knowledge for m in recipe.methods_of(world)}
    if named is not None and not any(baseline_of(label, named, labels) for label in labels):
        raise InputError(f"audit.baseline is {named!r}, which is no method here; {suggestion(named, labels)}")


def _check_requests(recipe: Recipe) -> None:
    """Requests are answered by methods, one after another; what chooses or examines methods looks at one only."""
    if isinstance(recipe.requests, bool) or not isinstance(recipe.requests, int) or recipe.requests < 1:
        raise InputError(f"requests is {recipe.requests!r}; it must be a whole number from 1, such as 4.")
    for key in ("tune", "given", "examine"):
        if recipe.requests > 1 and getattr(recipe, key) is not None:
            raise InputError(f"'requests' and {key!r} exclude each other; remove one of them.")


def _check_given(recipe: Recipe, given: Given, world: World) -> None:
    """Given models are not taught, and methods need an original to begin with."""
    if world.taught:
        raise InputError(f"knowledge {world.label!r} is taught, but the models are given; set its 'taught' to false.")
    if recipe.methods_of(world) and given.original is None:
        raise InputError("methods begin with the original model; name it as given.original, or remove the methods.")
    if given.in_text and recipe.methods_of(world):
        raise InputError("a candidate behind an endpoint is only asked, so no method can stand beside it; remove them.")
    unseen = [f"eval.{key}" for key in BEYOND_TEXT if getattr(recipe.eval, key)] + ["form_axis"] * bool(world.form_axis)
    if given.in_text and unseen:
        raise InputError(
            f"a candidate behind an endpoint is only asked, and {unseen[0]} is not read from text; remove it."
        )
    for spec in recipe.methods_of(world):
        if spec.label in given.candidates:
            raise InputError(f"{spec.label!r} is the label of a method and of a given candidate; rename one.")


def _labelled(items: list[Any], where: str) -> tuple[Any, ...]:
    """``items`` as a tuple; equal labels would merge two results, so they are refused."""
    labels = [item.label for item in items]
    for label in labels:
        if labels.count(label) > 1:
            raise InputError(f"{where} has the label {label!r} twice; give each its own 'label'.")
    return tuple(items)


def _short(value: Any, key: str) -> Any:
    """``value``, with plain text standing for ``{key: text}``."""
    return {key: value} if isinstance(value, str) else value


def _list(mapping: Mapping[str, Any], key: str) -> list[Any]:
    """A list-valued key; a single value stands for a list of one."""
    value = mapping.get(key)
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def _plain(value: Any) -> Any:
    """Dataclasses, tuples and mappings as plain YAML values."""
    if hasattr(value, "as_dict"):
        return value.as_dict()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: _plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    return [_plain(entry) for entry in value] if isinstance(value, list | tuple) else value
