"""The verb ``attack``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expunge.api.evaluating import opened
from expunge.api.memory import Memory, check_reachable, recall, record_folder
from expunge.core.errors import InputError
from expunge.core.files import whole_folder, write_json, write_jsonl
from expunge.core.seeds import derive

if TYPE_CHECKING:
    from expunge.attacks.base import Attack, AttackPoint, UtilityMeasure
    from expunge.distributed.ranks import Ranks
    from expunge.knowledge.facts import Knowledge, Split


@dataclass(frozen=True, slots=True)
class Point:
    """One attack point in numbers; all are shares."""

    id: str
    t_recall: float | None
    v_recall: float
    utility: float
    usable: bool


@dataclass(frozen=True, slots=True)
class Attacked:
    """The grid of one attacked model, the same of its control where one was given, and what they say."""

    folder: Path
    points: tuple[Point, ...]
    control: tuple[Point, ...]
    sentences: tuple[str, ...]


def attack(
    model: str | Path,
    attack: str = "relearn",
    forget: str | Path | None = None,
    retain: str | Path | None = None,
    *,
    original: str | Path | None = None,
    control: str | Path | None = None,
    rates: Sequence[float] | None = None,
    steps: Sequence[int] | None = None,
    sources: Sequence[str] | None = None,
    access: str | None = None,
    out: str | Path | None = None,
    seed: int = 0,
    nproc: int | None = None,
) -> Attacked:
    """Attack ``model`` over a grid of budgets and write the record to ``out`` (default: inside the model folder).

    ``forget``, ``retain`` and ``original`` default to what the folder remembers. The forget facts are cut by
    subject: the attacker trains on T and is scored on V. Without ``control``, a model that never knew the facts, only
    absolute recovery can be told: one attack on one model never says ``forgotten``; ``expunge run`` can. Where torchrun
    started several processes, each calls this, and every model is spread over them; ``nproc``, if given, is how many.
    Raises :class:`InputError` when there is nothing to attack with or nothing to compare utility with.
    """
    from expunge.attacks.access import rates_of
    from expunge.distributed.ranks import joined

    memory = recall(model, forget, retain, original)
    texts = _sources(memory) if attack == "relearn" else None
    given = {rates_of(access or "full"): rates, "steps": steps, "sources": sources or texts, "access": access}
    built = _build(attack, {key: value for key, value in given.items() if value is not None})
    target = Path(out) if out is not None else record_folder(model, f"attack-{attack}")
    check_reachable(target)
    with joined(nproc) as ranks:
        _check_spread(attack, built, ranks)
        knowledge, split = _cut(memory, seed)
        measure, ceiling = _reference(memory, str(model), split, getattr(built, "forms", None))
        held = opened(memory.original, memory) if "original" in built.needs and memory.original is not None else None
        run = {"seed": derive(seed, "attack"), "original": held}
        points = built.run(opened(model, memory), knowledge, split, measure, **run)
        rival = built.run(opened(control, memory), knowledge, split, measure, **run) if control is not None else []
        rows, beside = _rows(points), _rows(rival)
        sentences = tuple(_sentences(rows, beside, ceiling, len({fact.subject for fact in split.score})))
        record = {"schema": 1, "attack": attack, "seed": seed, "model": str(model), "original_v_recall": ceiling}
        record |= built.notes(knowledge, split)
        if ranks.leads:
            _write(target, record, {"points": points, "control": rival}, sentences)
        return Attacked(target, rows, beside, sentences)


def _check_spread(name: str, built: "Attack", ranks: "Ranks") -> None:
    if ranks.size > 1 and not built.can_spread:
        raise InputError(f"attack {name!r} looks inside or edits a model, on one process; leave it or --nproc out.")


def _sources(memory: Memory) -> Sequence[str] | None:
    """Raw texts have no question form: the attacker then trains on them as they are."""
    return None if any(fact.of_form("qa") for fact in memory.forget) else ("prefixes",)


def _build(name: str, parameters: Mapping[str, Any]) -> Any:
    from expunge import registry

    tuples = {key: tuple(value) if isinstance(value, list) else value for key, value in parameters.items()}
    return registry.build("attack", name, **tuples)


def _cut(memory: Memory, seed: int) -> "tuple[Knowledge, Split]":
    """The facts as one world, and its cut into T and V."""
    from expunge.knowledge.facts import Knowledge
    from expunge.knowledge.splits import split_by_subject

    split = split_by_subject(memory.forget, seed=derive(seed, "split"))
    world = Knowledge("own", memory.forget, memory.retain_train, memory.retain_eval, split=split)
    return world, split


def _reference(
    memory: Memory, model: str, split: "Split", forms: Sequence[str] | None
) -> "tuple[UtilityMeasure, float]":
    """Utility against the original, and the original's own recall on V; both need the original once."""
    from expunge.api.reference import utility_against
    from expunge.scoring.probes import score_facts

    if memory.original is None:
        raise InputError(f"{model} does not remember its original model; name it with --original.")
    loaded = opened(memory.original, memory)
    measure = utility_against(loaded, memory)
    scores = score_facts(loaded.view(), loaded.encoder, split.score, forms)
    return measure, sum(item.score.greedy for item in scores) / len(scores)


def _rows(points: "Sequence[AttackPoint]") -> tuple[Point, ...]:
    return tuple(
        Point(point.id, point.t_recall, point.mean_score("V"), point.utility, point.usable) for point in points
    )


def _sentences(points: Sequence[Point], control: Sequence[Point], ceiling: float, subjects: int) -> list[str]:
    """What a reader may and may not conclude."""
    worst = max(points, key=lambda point: point.v_recall)
    lines = [
        f"Of what the attacker never saw ({subjects} subjects), the original says {ceiling:.0%}, the attacked model "
        f"{points[0].v_recall:.0%} before the attack and {worst.v_recall:.0%} at its worst point ({worst.id})."
    ]
    if control:
        rival = max(control, key=lambda point: point.v_recall)
        lines.append(f"The control reaches {rival.v_recall:.0%} ({rival.id}).")
    else:
        lines.append("Without a control this is absolute recovery: some of it may be guessing, not remembering.")
    return [*lines, "One attack on one model is no verdict; `expunge run` gives one with intervals."]


def _write(
    target: Path, record: Mapping[str, Any], grids: "Mapping[str, Sequence[AttackPoint]]", sentences: Sequence[str]
) -> None:
    grid = {name: [point.as_dict() for point in points] for name, points in grids.items()}
    with whole_folder(target) as draft:
        write_json(draft / "record.json", {**record, **grid, "sentences": list(sentences)})
        rows = [{"model": name, **row} for name, points in grids.items() for point in points for row in point.samples()]
        write_jsonl(draft / "samples.jsonl", rows)
