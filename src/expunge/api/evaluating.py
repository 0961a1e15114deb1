"""The verb ``evaluate``."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expunge.api.memory import Memory, check_reachable, recall, record_folder
from expunge.core.errors import InputError
from expunge.core.files import whole_folder, write_json, write_jsonl
from expunge.core.seeds import derive

if TYPE_CHECKING:
    from expunge.distributed.ranks import Ranks
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
    nproc: int | None = None,
) -> Evaluated:
    """Measure ``model`` on what must go and what must stay; the record goes to ``out``.

    ``forget``, ``retain`` and ``original`` default to what the folder remembers; ``metrics`` (names, or patterns such
    as ``mia_*``) to all registered ones that are not costly. ``control`` is a model that never knew the forget set,
    ``holdout`` JSON Lines of facts that no model was taught, for membership attacks, and ``judge`` rules on the written
    answers in the metric ``judged``. A metric that lacks what it needs carries its reason instead of a number.

    Where torchrun started several processes, each calls this; every model is spread over them, and they share the rows
    out (docs/distribution.md). ``nproc``, if given, is how many there must be. Costly metrics and judges are refused
    then.
    """
    from expunge.distributed.ranks import joined

    memory = recall(model, forget, retain, original)
    chosen = _chosen(metrics, judge)
    untaught = _untaught(holdout, memory)
    target = Path(out) if out is not None else record_folder(model, "evaluation")
    check_reachable(target)
    with joined(nproc) as ranks:
        _check_alone(chosen, judge, ranks)
        models = _Models.of(model, memory, control)
        readings: dict[str, Mapping[str, Any]] = {}
        rows: list[dict[str, Any]] = []
        for name, facts in {"forget": memory.forget, "retain_eval": memory.retain_eval}.items():
            if facts:
                beside = untaught if name == "forget" else ()
                evidence = _gather(models, facts, chosen.values(), beside, derive(seed, name))
                readings |= _readings(name, chosen, evidence, seed)
                rows += _samples(name, evidence)
        readings["utility"] = _utility(models, memory)
        if ranks.leads:
            with whole_folder(target) as draft:
                write_json(draft / "record.json", {"schema": 1, "model": str(model), "seed": seed, "metrics": readings})
                write_jsonl(draft / "samples.jsonl", rows)
        return Evaluated(target, readings)


@dataclass(frozen=True, slots=True)
class _Models:
    """The model and what it is compared with, each spread over the processes that there are."""

    loaded: "LoadedModel"
    original: "LoadedModel | None"
    control: "LoadedModel | None"

    @classmethod
    def of(cls, model: str | Path, memory: Memory, control: str | Path | None) -> "_Models":
        """Load them."""
        beside = [None if source is None else opened(source, memory) for source in (memory.original, control)]
        return cls(opened(model, memory), *beside)


def opened(source: str | Path, memory: Memory) -> "LoadedModel":
    """The model at ``source``, spread over the processes of the group where there is one."""
    from expunge.distributed.sharding import shard_among_all
    from expunge.models.load import load

    loaded = load(source, template=memory.template)
    shard_among_all(loaded.model)
    return loaded


def _check_alone(chosen: "Mapping[str, Metric]", judge: Any, ranks: "Ranks") -> None:
    """What runs models by itself knows of one process only, and a judge would be asked by each."""
    costly = [name for name, metric in chosen.items() if getattr(metric, "costly", False)]
    if costly and ranks.size > 1:
        raise InputError(f"metric {costly[0]!r} looks inside a model on one process; leave it or --nproc out.")
    if judge is not None and ranks.size > 1:
        raise InputError("a judge would be asked once by every process; leave --judge or --nproc out.")


def _readings(
    name: str, chosen: "Mapping[str, Metric]", evidence: "Evidence", seed: int
) -> dict[str, Mapping[str, Any]]:
    """What the metrics say of one set."""
    wanted = {key: metric for key, metric in chosen.items() if name == "forget" or not metric.forget_only}
    return {f"{name}/{key}": metric.compute(evidence, seed=seed).as_dict() for key, metric in wanted.items()}


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
    models: _Models, facts: Any, chosen: "Collection[Metric]", untaught: "tuple[Fact, ...]", seed: int
) -> "Evidence":
    from expunge.metrics.evidence import gather

    needs = {need for metric in chosen for need in metric.needs}
    beside: Any = {"original": _view(models.original), "control": _view(models.control), "untaught": untaught}
    return gather(models.loaded.view(), models.loaded.encoder, facts, needs=needs, seed=seed, **beside)


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


def _utility(models: _Models, memory: Memory) -> dict[str, Any]:
    from expunge.api.reference import utility_against

    if models.original is None:
        return {"value": None, "reason": "not computed: the original model is not at hand."}
    reading = utility_against(models.original, memory)(models.loaded.view())
    return {"value": reading.value, "parts": dict(reading.parts)}
