"""Attack cells: one attack's grid on one model.

Config: ``attack`` (name and grid), ``extend``, ``target`` (forget | placebo), ``permuted`` (also score V with permuted
answers, set ``P``), ``only_before`` (the original: nothing is trained), ``model`` (key), ``seed``.
Inputs: ``knowledge``, ``original`` (its evaluate cell), ``model`` where there is one, and ``original_model`` for an
attack that needs it (where nothing was taught, the recipe's model is the original).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from expunge import registry
from expunge.attacks.base import Attack, AttackPoint, UtilityMeasure
from expunge.attacks.extend import extend
from expunge.attacks.panel import Panel
from expunge.attacks.relearn import Relearn
from expunge.attacks.saying import asked_of, hearing
from expunge.core.errors import InputError
from expunge.core.seeds import derive
from expunge.knowledge.facts import Fact, Split
from expunge.models.load import LoadedModel
from expunge.scoring.permuted import permuted_answers
from expunge.scoring.probes import ask
from expunge.study import baselines, facts_io
from expunge.study.base_model import opened
from expunge.study.execute import Job
from expunge.study.facts_io import Material
from expunge.study.record import Outcome

Walk = Callable[[Attack], list[AttackPoint]]


def shares(config: Mapping[str, Any]) -> bool:
    """Whether several processes can carry the attack out together."""
    return bool(registry.build("attack", config["attack"], **config["params"]).can_spread)


def run(job: Job) -> Outcome:
    """Walk the grid; one ``points`` entry a budget point and one sample a probe and point."""
    material, loaded = facts_io.read(job.inputs["knowledge"]), opened(job)
    split = _split(material, job.config["target"])
    baseline = baselines.read(job.inputs["original"])
    utility = baselines.utility(baseline, loaded.encoder, material.knowledge.retain_eval)
    grid = registry.build("attack", job.config["attack"], **job.config["params"])
    permuted, reason = permuted_set(split.score, job.config)
    notes: Mapping[str, Any] = {}
    if job.config["only_before"]:
        points, extended = [_before(grid, loaded, split, utility)], False
    else:
        original = opened(job, "original_model") if "original" in grid.needs else None

        def walk(attack: Attack) -> list[AttackPoint]:
            seed = derive(job.config["seed"], "attack")
            return attack.run(
                loaded, material.knowledge, split, utility, seed=seed, also_score=permuted, original=original
            )

        points, extended = _walked(grid, walk, job.config["extend"])
        notes = grid.notes(material.knowledge, split)
    return outcome_of(points, loaded.fingerprint, {"extended": extended, "permuted_reason": reason, **notes})


def _split(material: Material, target: str) -> Split:
    """The cut that is attacked; :class:`InputError` when there is no placebo."""
    if target == "forget":
        return material.split
    if material.placebo is None:
        raise InputError(f"there is no placebo to attack: {material.placebo_reason} Set placebo to false.")
    return material.placebo


def permuted_set(facts: Sequence[Fact], config: Mapping[str, Any]) -> tuple[dict[str, tuple[Fact, ...]], str]:
    """V with permuted answers as the further set ``P``, or the reason why there is none."""
    if not config["permuted"]:
        return {}, ""
    try:
        return {"P": permuted_answers(facts, derive(config["seed"], "permuted"))}, ""
    except InputError as error:
        return {}, str(error)


def _walked(grid: Attack, walk: Walk, extending: bool) -> tuple[list[AttackPoint], bool]:
    """The grid's points and, where the worst one lies on an edge, those of the grid extended once."""
    points = walk(grid)
    worst = max(points, key=lambda point: point.mean_score())
    further = extend(grid, worst) if extending and isinstance(grid, Relearn) else None
    if further is None:
        return points, False
    known = {point.id for point in points}
    return [*points, *(point for point in walk(further) if point.id not in known)], True


def _before(grid: Attack, loaded: LoadedModel, split: Split, utility: UtilityMeasure) -> AttackPoint:
    """The reading of a model that is not attacked."""
    forms = getattr(grid, "forms", ("qa",))
    sides = {"V": asked_of(grid, split.score, loaded.encoder), "T": ask(split.train, loaded.encoder, forms)}
    reading = Panel(sides, utility, hearing(grid, loaded.encoder)).read(loaded.view())
    value = reading.utility
    return AttackPoint("", "", 0.0, 0, value.value, value.parts, True, reading.t_recall, reading.probes)


def outcome_of(points: Sequence[AttackPoint], fingerprint: str, extra: Mapping[str, Any]) -> Outcome:
    """The record's part of the points."""
    before = points[0].mean_score()
    worst = max(point.mean_score() for point in points)
    metrics = {"v_before": {"value": before, "n": 1}, "v_worst": {"value": worst, "n": 1}}
    samples = [row for point in points for row in point.samples()]
    return Outcome(metrics, samples, {"model": fingerprint}, 0, {"points": [p.as_dict() for p in points], **extra})
