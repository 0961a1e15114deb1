"""The verb ``evaluate``."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expunge.api.memory import Memory, check_reachable, recall, record_folder
from expunge.core.files import whole_folder, write_json, write_jsonl
from expunge.core.seeds import derive

if TYPE_CHECKING:
    from expunge.knowledge.facts import Fact
    from expunge.metrics.base import Evidence, Metric
    from expunge.models.load import LoadedModel
    from expunge.models.view import View


@dataclass(frozen=True, slots=True)
class Evaluated:
    """Metrics by ``set/name``: value, 95 % interval, number of subjects, or the reason why there is none."""

    folder: Path
    metrics: Mapping[str, Mapping[str, Any]]


def evaluate(
    model: str | Path,
    forget: str | Path | None = None,
    retain: str | Path | None = None,
    *,
    original: str | Path | None = None,
    control: str | Path | None = None,
    holdout: str | Path | None = None,
    metrics: Sequence[str] | None = None,
    judge: str | Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    seed: int = 0,
) -> Evaluated:
    """Measure ``model`` on what must go and what must stay; the record goes to ``out``.

    ``forget``, ``retain`` and ``original`` default to what the folder remembers; ``metrics`` (names, or patterns such
    as ``mia_*``) to all registered ones that are not costly. ``control`` is a model that never knew the forget set,
    ``holdout`` JSON Lines of facts that no model was taught, for membership attacks, and ``judge`` rules on the written
    answers in the metric ``judged``. A metric that lacks what it needs carries its reason instead of a number.
    """
    from expunge.models.load import load

    memory = recall(model, forget, retain, original)
    chosen = _chosen(metrics, judge)
    untaught = _untaught(holdout, memory)
    target = Path(out) if out is not None else record_folder(model, "evaluation")
    check_reachable(target)
    loaded = load(model, template=memory.template)
    begun = load(memory.original, template=memory.template) if memory.original is not None else None
    never = load(control, template=memory.template) if control is not None else None
    models = {"original": _view(begun), "control": _view(never)}
    sets = {"forget": memory.forget, "retain_eval": memory.retain_eval}
    readings: dict[str, Mapping[str, Any]] = {}
    rows: list[dict[str, Any]] = []
    for name, facts in sets.items():
        if facts:
            beside = {**models, "untaught": untaught if name == "forget" else ()}
            evidence = _gather(loaded, facts, chosen.values(), beside, derive(seed, name))
            readings |= {
                f"{name}/{key}": metric.compute(evidence, seed=seed).as_dict()
                for key, metric in chosen.items()
                if name == "forget" or not metric.forget_only
            }
            rows += _samples(name, evidence)
    readings["utility"] = _utility(loaded, begun, memory)
    with whole_folder(target) as draft:
        write_json(draft / "record.json", {"schema": 1, "model": str(model), "seed": seed, "metrics": readings})
        write_jsonl(draft / "samples.jsonl", rows)
    return Evaluated(target, readings)


def _chosen(metrics: Sequence[str] | None, judge: str | Mapping[str, Any] | None) -> dict[str, "Metric"]:
    """The metrics by name; ``judged`` gets the judge, and is among them where there is one."""
    from expunge import registry
    from expunge.metrics.named import named

    cheap = (entry.name for entry in registry.entries("metric") if not getattr(entry.factory, "costly", False))
    names = named(metrics) if metrics else tuple(cheap)
    found = {name: registry.build("metric", name) for name in names}
    return found if judge is None else {**found, "judged": registry.build("metric", "judged", judge=judge)}


def _untaught(holdout: str | Path | None, memory: Memory) -> "tuple[Fact, ...]":
    """Facts that no model was taught. Raises :class:`InputError` where one of them is to be forgotten."""
    from expunge.knowledge.jsonl import check_disjoint, read_facts

    if holdout is None:
        return ()
    facts = read_facts(Path(holdout), start="holdout")
    check_disjoint(memory.forget, facts, "holdout")
    return facts


def _view(loaded: "LoadedModel | None") -> "View | None":
    return None if loaded is None else loaded.view()


def _gather(
    loaded: "LoadedModel", facts: Any, chosen: "Collection[Metric]", beside: Mapping[str, Any], seed: int
) -> "Evidence":
    from expunge.metrics.evidence import gather

    needs = {need for metric in chosen for need in metric.needs}
    return gather(loaded.view(), loaded.encoder, facts, needs=needs, seed=seed, **beside)


def _samples(name: str, evidence: "Evidence") -> list[dict[str, Any]]:
    """A row a probe, as in a study's record."""
    scores = evidence.scores or ()
    texts = evidence.generations or [None] * len(scores)
    return [
        {
            "split": name,
            "fact": item.fact.id,
            "subject": item.fact.subject,
            "form": item.probe.form,
            "prompt": item.probe.prompt,
            "answer": item.probe.answer,
            "generated": text,
            "hit": int(item.score.greedy),
            "probability": item.score.probability,
        }
        for item, text in zip(scores, texts, strict=True)
    ]


def _utility(loaded: "LoadedModel", begun: "LoadedModel | None", memory: Memory) -> dict[str, Any]:
    from expunge.api.reference import utility_against

    if begun is None:
        return {"value": None, "reason": "not computed: the original model is not at hand."}
    reading = utility_against(begun, memory)(loaded.view())
    return {"value": reading.value, "parts": dict(reading.parts)}
