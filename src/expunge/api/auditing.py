"""The verb ``audit``: somebody else's checkpoint, without knowing how it was unlearned."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from expunge.api.memory import CARD, SECTION, check_reachable, record_folder
from expunge.api.placebos import placebos
from expunge.api.suites import Suite, asked, chosen
from expunge.core.errors import InputError
from expunge.core.files import read_json

if TYPE_CHECKING:
    from expunge.api.studying import Notify
    from expunge.core.errors import ExpungeError
    from expunge.knowledge.facts import Fact
    from expunge.study.cells import Cell
    from expunge.study.estimate import Plan
    from expunge.study.run import StudyResult

Models = str | Path | Sequence[str | Path] | None
ALWAYS_RUN = "relearn"
DECISIVE = ("knowledge", "given", "given_text")
"""Kinds of cells without which nothing can be audited: their failure is a fault of what was given."""
ATTACKS = ("attack", "attack_text")
"""Kinds of attack cells: one that fails is dropped, and the others stand."""
HIDER = "known hider (shallow NPO)"
HIDER_TRAIN: Mapping[str, Any] = {
    "lr": 2e-5, "steps": 300, "batch_size": 8, "stop_forget_nll": 3.0, "eval_every": 2, "max_kl": 1.0,
}  # fmt: skip
"""Until the forget answers cost 3 nats a token, which no greedy answer survives, however many steps that takes, and no
further: a deeper one would be harder to bring back. The bound on the mean KL keeps it usable. All are our choice."""


@dataclass(frozen=True, slots=True)
class Audited:
    """An audit: ``failed`` maps cells to sentences; without an audit there is no report.

    ``verdict`` is the candidate's. ``unmet`` is the first requirement that the candidate did not meet (a
    :class:`ThresholdError`) or that nobody can tell (an :class:`InconclusiveError`); raise it to stop a pipeline.
    """

    folder: Path
    failed: Mapping[str, str]
    verdict: str | None
    audit: Mapping[str, Any] | None
    report: Path | None
    unmet: "ExpungeError | None" = None


def audit(
    candidate: str | Path,
    forget: str | Path | None = None,
    retain: str | Path | None = None,
    *,
    original: str | Path | None = None,
    control: Models = None,
    suite: str = "standard",
    placebo: int | None = None,
    require: Sequence[str] | None = None,
    out: str | Path | None = None,
    seed: int = 0,
    nproc: int | None = None,
    changes: Sequence[str] = (),
    announce: "Callable[[Plan], None] | None" = None,
    notify: "Notify | None" = None,
    plugins: Sequence[str | Path] = (),
) -> Audited:
    """Attack ``candidate`` with a suite of attacks and say whether the forget facts are gone or only hidden.

    ``forget`` and ``retain`` are JSON Lines files (default: what the candidate's folder remembers). Without
    ``original`` only absolute recovery is measured, and the verdict is never ``forgotten``. ``control`` is a model that
    never knew the facts, such as one retrained without them; placebos stand in where there is none. A second one
    becomes the null row. ``suite`` is ``quick``, ``standard`` or ``full``. ``placebo`` subjects that never existed are
    drawn from the facts and attacked as well: by default as many as can be, unless a lone control or no original makes
    them useless; 0 for none. ``require`` names a verdict or bounds such as ``excess<=0.10``. The study goes to ``out``
    (default: a folder ``audit`` inside the candidate's); the same call again continues. ``nproc`` processes share each
    model (docs/distribution.md). ``changes`` are made to the recipe of the study (``eval.samples=16``). ``announce``
    hears the cost before anything is loaded, ``notify`` hears of every cell.

    Raises :class:`InputError` where a model has another tokenizer than the original, or a control knows the facts.
    """
    from expunge.audit.require import Requirement, unmet
    from expunge.report.write import build

    requirements = [Requirement.parse(text) for text in require or ()]
    recipe, target = _prepared(candidate, forget, retain, original, control, suite, out, seed, placebo)
    recipe |= {} if nproc is None else {"processes": nproc}
    if announce is not None:
        from expunge.study.run import plan

        announce(plan(recipe, tuple(changes), target))
    result = _run(recipe, tuple(changes), target, notify, plugins)
    failed = {**result.failed, **result.skipped}
    if result.audit is None:
        return Audited(result.folder, failed, None, None, None)
    own = _own(result.audit, list(recipe["given"]["candidates"]))
    verdict = own["worlds"][0]["methods"][0]["verdict"]
    return Audited(result.folder, failed, verdict, result.audit, build(result.folder), unmet(own, requirements))


def _prepared(
    candidate: str | Path,
    forget: str | Path | None,
    retain: str | Path | None,
    original: str | Path | None,
    control: Models,
    suite: str,
    out: str | Path | None,
    seed: int,
    placebo: int | None = None,
) -> tuple[dict[str, Any], Path]:
    """The recipe and the folder of the study; everything that can be refused without a model is refused here."""
    from expunge.knowledge.jsonl import read_facts
    from expunge.models.endpoint import Endpoint

    files = _files(candidate, forget, retain)
    facts = read_facts(Path(files["forget"]))
    begun = _place(original if original is not None else _remembered(candidate))
    attacks = asked(suite, facts, Endpoint(candidate)) if _served(candidate) else chosen(suite, facts)
    target = Path(out) if out is not None else record_folder(candidate, "audit")
    check_reachable(target)
    controls = [control] if isinstance(control, str | Path) else list(control or ())
    if len(controls) > 2:
        raise InputError(f"{len(controls)} controls are given; one is the control, a second the null row.")
    places = [str(_place(item)) for item in controls]
    given = {
        "candidates": {_label(candidate): str(_place(candidate))},
        "original": begun,
        **dict(zip(("control", "null"), places, strict=False)),
    }
    drawn = placebos(placebo, given, facts, read_facts(Path(files["retain"])) if "retain" in files else (), seed)
    attacks = Suite(attacks.attacks, (*attacks.left_out, *drawn.left_out))
    return _recipe(target, {**files, **drawn.params}, given, attacks, facts, suite, seed), target


def _recipe(
    target: Path,
    files: Mapping[str, str | int],
    given: dict[str, Any],
    suite: Suite,
    facts: "Sequence[Fact]",
    name: str,
    seed: int,
) -> dict[str, Any]:
    """An ordinary study whose models are given; a known hider shows that the suite can win, except in ``quick``."""
    from expunge.scoring.probes import asking_forms

    hiding = given["original"] is not None and name != "quick" and not any(map(_served, given["candidates"].values()))
    hider = {"name": "npo", "label": HIDER, "train": dict(HIDER_TRAIN)}
    return {
        "name": target.name or "audit",
        "model": {"source": given["original"] or next(iter(given["candidates"].values()))},
        "knowledge": [{"name": "jsonl", "label": Path(str(files["forget"])).stem, **files}],
        "given": {**given, "not_tested": list(suite.left_out)},
        "methods": [hider] if hiding else [],
        "attacks": [dict(attack) for attack in suite.attacks],
        "audit": {"hider": HIDER if hiding else None},
        "eval": {"forms": list(asking_forms(facts))},
        "seeds": [seed],
        "workers": 0,
    }


def _files(candidate: str | Path, forget: str | Path | None, retain: str | Path | None) -> dict[str, str]:
    """The forget and retain files: as given, else those in the candidate's folder."""
    kept = Path(candidate) / "knowledge"
    own = {"forget": kept / "forget.jsonl", "retain": kept / "retain_eval.jsonl"}
    named = {"forget": forget, "retain": retain}
    found = {key: named[key] or (own[key] if own[key].is_file() else None) for key in named}
    if found["forget"] is None:
        raise InputError(f"{candidate} does not remember what it was to forget; name the file with --forget.")
    return {key: str(Path(path).resolve()) for key, path in found.items() if path is not None}


def _remembered(candidate: str | Path) -> str | None:
    """The original that the candidate's folder names, if any."""
    card = Path(candidate) / CARD
    return read_json(card).get(SECTION, {}).get("original") if card.is_file() else None


def _place(model: str | Path | None) -> str | None:
    """A model's absolute path, or its name where it has none."""
    return None if model is None else str(Path(model).resolve() if Path(model).exists() else model)


def _served(model: str | Path) -> TypeGuard[str]:
    """Whether the model lies behind an endpoint."""
    from expunge.models.endpoint import is_address

    return is_address(model)


def _label(candidate: str | Path) -> str:
    """The candidate in a word: the last part of its path or name, or the name that a server knows it by."""
    if _served(candidate):
        from expunge.models.endpoint import Endpoint

        return Endpoint(candidate).label
    return Path(candidate).resolve().name if Path(candidate).exists() else str(candidate).rsplit("/", 1)[-1]


def _run(
    recipe: dict[str, Any],
    overrides: tuple[str, ...],
    target: Path,
    notify: "Notify | None",
    plugins: Sequence[str | Path],
) -> "StudyResult":
    """The study; attacks that cannot be run on these facts are dropped once, with the reason in the report."""
    from expunge.study.run import run

    def hear(event: str, cell: "Cell", sentence: str) -> None:
        if notify is not None:
            notify(event, cell, sentence)
        if event == "failed" and cell.kind in DECISIVE:
            raise InputError(sentence)
        if event == "failed" and cell.kind in ATTACKS:
            broken.setdefault(cell.config["attack"], sentence)

    broken: dict[str, str] = {}
    result = run(recipe, overrides, target, notify=hear, plugins=plugins)
    left = {attack["name"] for attack in recipe["attacks"]} - broken.keys()
    elsewhere = any(name.rpartition("-")[0] not in ATTACKS for name in result.failed)
    if not broken or not left or ALWAYS_RUN in broken or elsewhere:
        return result
    given = recipe["given"]
    reasons = [f"the attack {name}, which failed: {sentence}" for name, sentence in broken.items()]
    recipe = {
        **recipe,
        "attacks": [attack for attack in recipe["attacks"] if attack["name"] not in broken],
        "given": {**given, "not_tested": [*given["not_tested"], *reasons]},
    }
    return run(recipe, overrides, target, notify=hear, plugins=plugins)


def _own(audit: Mapping[str, Any], candidates: Sequence[str]) -> dict[str, Any]:
    """The audit of the candidate alone: a requirement does not concern the known hider."""
    worlds = [
        {**world, "methods": [method for method in world["methods"] if method["label"] in candidates]}
        for world in audit["worlds"]
    ]
    return {**audit, "worlds": worlds}
