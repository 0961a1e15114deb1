"""The verb ``unlearn``."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expunge.api.memory import Memory, check_out, remember
from expunge.api.reference import SAMPLES
from expunge.api.spreading import Spread, spread
from expunge.core.seeds import derive

if TYPE_CHECKING:
    from expunge.knowledge.facts import Fact
    from expunge.methods.grammar import MethodSpec
    from expunge.models.load import LoadedModel
    from expunge.training.loop import TrainResult

TRAIN: Mapping[str, Any] = {"lr": 1e-5, "epochs": 5, "batch_size": 8}
"""Where neither the method nor the caller says otherwise: the rate of the NPO paper (arXiv 2404.05868, section 4)
and five passes over the forget set, the number of epochs that TOFU (arXiv 2401.06121, section 3) unlearns for."""
SHOWN_SHARE = 0.8
FEWEST_SUBJECTS = 5


@dataclass(frozen=True, slots=True)
class Unlearned:
    """The new model's folder, how training went, and what the user should know."""

    folder: Path
    steps: int
    stopped: str
    notes: tuple[str, ...]


def unlearn(
    model: str | Path,
    forget: str | Path,
    retain: str | Path | None = None,
    *,
    method: str | Mapping[str, Any] = "npo",
    out: str | Path = "out",
    template: str | None = None,
    lr: float | None = None,
    steps: int | None = None,
    batch_size: int | None = None,
    max_kl: float | None = None,
    seed: int = 0,
    nproc: int | None = None,
    gather: str = "fp32",
    activation_checkpointing: bool = False,
    cpu_offload: bool = False,
    progress: bool = False,
    announce: Callable[[str], None] | None = None,
    **train: Any,
) -> Unlearned:
    """Make ``model`` forget the facts of ``forget`` and write the result to the folder ``out``.

    ``forget`` and ``retain`` are JSON Lines files. Without ``retain``, stored samples of the original model's own
    text stand in. ``method`` is a shorthand such as ``npo+sam@lora`` or a mapping with hyper-parameters; ``lr`` to
    ``max_kl`` and ``train`` are fields of :class:`expunge.training.config.TrainConfig`. ``out`` is an ordinary
    Hugging Face folder and appears only when it is whole.

    Where torchrun started several processes, each calls this, and one model is spread over them (docs/distribution.md):
    ``nproc``, if given, is how many there must be, ``gather`` the type in which blocks are put together to compute;
    ``announce`` is called with the memory plan before the model is loaded, and with what was used.

    Raises :class:`InputError` for input that cannot be used, before the model is loaded wherever possible.
    """
    from expunge.knowledge.encode import check_lengths
    from expunge.models.load import load

    target = Path(out)
    given = {"lr": lr, "steps": steps, "batch_size": batch_size, "max_kl": max_kl, **train}
    if gather == "bf16":
        given = {"precision": "bf16", **given}
    spec = _spec(method, {key: value for key, value in given.items() if value is not None})
    facts, kept = _read(Path(forget), Path(retain) if retain is not None else None)
    check_out(target, model)
    with spread(spec, nproc, gather, activation_checkpointing, cpu_offload, announce) as processes:
        processes.announce(model)
        loaded = load(model, template=template)
        check_lengths((*facts, *kept), loaded.encoder)
        memory, notes = processes.agreed(lambda: _sets(loaded, facts, kept, str(model), template, seed))
        processes.shard(loaded)
        result = _train(loaded, spec, memory, seed, progress)
        details = {"method": spec.as_dict(), "steps": result.steps, "stopped": result.stopped, **processes.used()}
        _write(target, loaded, result, memory, details, processes)
    return Unlearned(target, result.steps, result.stopped, notes)


def _spec(method: str | Mapping[str, Any], given: Mapping[str, Any]) -> "MethodSpec":
    """The method with the caller's training settings above its own; all of them are checked here."""
    from expunge.methods.fields import fill, layered
    from expunge.methods.grammar import parse
    from expunge.training.config import TrainConfig

    spec = parse(method)
    spec = replace(spec, train=layered(layered(TRAIN, spec.train), given))
    fill(TrainConfig, spec.train, f"train settings of {spec.name}")
    return spec


def _read(forget: Path, retain: Path | None) -> "tuple[tuple[Fact, ...], tuple[Fact, ...]]":
    from expunge.knowledge.jsonl import check_disjoint, read_facts

    facts = read_facts(forget)
    kept = read_facts(retain, start="retain") if retain is not None else ()
    check_disjoint(facts, kept)
    return facts, kept


def _sets(
    loaded: "LoadedModel",
    facts: "tuple[Fact, ...]",
    kept: "tuple[Fact, ...]",
    original: str,
    template: str | None,
    seed: int,
) -> tuple[Memory, tuple[str, ...]]:
    """What the unlearner may see and what utility is measured on; the two never share a subject."""
    from expunge.builders.samples import stored_samples
    from expunge.knowledge.splits import share

    source = str(Path(original).resolve()) if Path(original).exists() else original
    number = SAMPLES if kept else 2 * SAMPLES
    texts = stored_samples(loaded.view(), loaded.encoder, num=number, seed=derive(seed, "samples"), without=facts)
    common: dict[str, Any] = {"forget": facts, "original": source, "template": template, "seed": seed}
    if not kept:
        note = f"no retain set was given: {SAMPLES} stored samples of the original model's own text stand in for it."
        return Memory(**common, retain_train=texts[:SAMPLES], samples=texts[SAMPLES:]), (note,)
    if len({fact.subject for fact in kept}) < FEWEST_SUBJECTS:
        note = f"the retain set has fewer than {FEWEST_SUBJECTS} subjects: utility is measured on stored samples only."
        return Memory(**common, retain_train=kept, samples=texts), (note,)
    shown, held = share(kept, (SHOWN_SHARE, 1 - SHOWN_SHARE), derive(seed, "share"))
    note = f"{len(held)} of {len(kept)} retain facts are held back to measure utility; the unlearner does not see them."
    return Memory(**common, retain_train=tuple(shown), retain_eval=tuple(held), samples=texts), (note,)


def _train(loaded: "LoadedModel", spec: "MethodSpec", memory: Memory, seed: int, progress: bool) -> "TrainResult":
    from expunge.builders.base import Material
    from expunge.methods.run import run_method

    own = derive(seed, "unlearn")
    material = Material(loaded=loaded, forget=memory.forget, retain=memory.retain_train, seed=own)
    return run_method(spec, material, settings={}, seed=own, progress=progress)


def _write(
    target: Path,
    loaded: "LoadedModel",
    result: "TrainResult",
    memory: Memory,
    details: Mapping[str, Any],
    processes: Spread,
) -> None:
    """Model, card and knowledge in one folder that is either whole or absent."""
    with processes.folder(target) as draft:
        processes.save(loaded, draft, result.model)
        if processes.leads:
            remember(draft, memory, details)
