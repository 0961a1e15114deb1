"""From a recipe to the study of its trials: every method in as many variants as there are trials."""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from expunge.core.errors import InputError
from expunge.methods.fields import layered
from expunge.methods.grammar import MethodSpec, parse
from expunge.study.recipe import Recipe
from expunge.study.released import released, space_of
from expunge.study.sections import World
from expunge.study.tuning.draws import draws
from expunge.study.tuning.section import Tune
from expunge.study.tuning.space import parameters, ranges_of


@dataclass(frozen=True, slots=True)
class Trial:
    """One variant of a method: ``spec`` as it would be reported, and the ``values`` of what is drawn, by key."""

    spec: MethodSpec
    number: int
    values: Mapping[str, Any]

    @property
    def label(self) -> str:
        """The method's label and the trial's number, such as ``NPO #2``."""
        return f"{self.spec.label} #{self.number}"


def section_of(recipe: Recipe) -> Tune:
    """The recipe's section ``tune``; :class:`InputError` without one."""
    if recipe.tune is None:
        raise InputError("the recipe has no section 'tune'; add one, such as tune: {trials: 4, attacks: [relearn]}.")
    return recipe.tune


def trials_of(recipe: Recipe, world: World) -> tuple[Trial, ...]:
    """The trials of a world's methods, method by method. The audit's known hider is a control and is not tuned."""
    variants = (found for spec in recipe.listed(world) for found in _variants(recipe, spec))
    return tuple(trial for trial in variants if trial.spec.label != recipe.audit.hider)


def study_of_trials(recipe: Recipe, without: Mapping[str, frozenset[str]] | None = None) -> Recipe:
    """The recipe that runs the trials on the seeds and attacks of tuning; ``without`` leaves trials out, by world.

    The null row and placebo people serve the verdict, which nobody asks of a trial; only where nothing is taught are
    placebos kept, since they are the control there.
    """
    tune = section_of(recipe)
    out = without or {}
    worlds = [
        dataclasses.replace(world, methods=_specs(trials_of(recipe, world), out.get(world.label, frozenset())))
        for world in recipe.knowledge
    ]
    return dataclasses.replace(
        recipe,
        name=f"{recipe.name}-trials",
        knowledge=tuple(worlds),
        methods=(),
        attacks=tune.attacks,
        seeds=tune.seeds,
        budgets=(),
        tune=None,
        audit=dataclasses.replace(recipe.audit, hider=None, baseline=None),
        null=False,
        placebo=recipe.placebo and not all(world.taught for world in recipe.knowledge),
    )


def _specs(trials: tuple[Trial, ...], without: frozenset[str]) -> tuple[MethodSpec, ...]:
    return tuple(dataclasses.replace(t.spec, label=t.label) for t in trials if t.label not in without)


def _variants(recipe: Recipe, spec: MethodSpec) -> Iterator[Trial]:
    """One method's trials at every budget; the draws are the same at each, so that budgets differ in nothing else."""
    tune = section_of(recipe)
    has = parameters(spec, recipe.unlearn.train)
    ranges = ranges_of(spec, tune.space, space_of(spec))
    whole = frozenset(key for key in ranges if has[key].whole)
    drawn = draws(ranges, whole, tune.trials - 1, tune.seed, spec.label)
    for variant in released(spec, recipe.budgets):
        yield Trial(variant, 1, {key: has[key].value for key in ranges})
        for number, values in enumerate(drawn, start=2):
            yield Trial(with_values(variant, values), number, values)


def with_values(spec: MethodSpec, values: Mapping[str, Any]) -> MethodSpec:
    """``spec`` with hyper-parameters set by key; :class:`InputError` where the method refuses a value."""
    raw = spec.as_dict()
    for key, value in values.items():
        part, _, name = key.partition(".")
        raw[part] = layered(raw[part], {name: value}) if part == "train" else {**raw[part], name: value}
    return parse(raw)
