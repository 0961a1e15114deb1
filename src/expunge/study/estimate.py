"""What a study will take: tokens, time and memory of each cell, from counts of rows and rules of thumb.

Trained tokens count once; a forward pass counts a third (a training step is a forward pass and a backward pass twice
as dear). Time is tokens × parameters over a rate, corrected by the finished cells of the same study.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from expunge import registry
from expunge.certificates.base import certificate_of
from expunge.distributed.plan import copies_of
from expunge.knowledge.facts import Knowledge
from expunge.methods.fields import layered
from expunge.methods.grammar import MethodSpec, parse
from expunge.methods.run import method_of
from expunge.smoothing.base import Smoother
from expunge.study.cells import Cell
from expunge.study.estimate_rows import FORWARD, TOKENS_PER_ROW, lengths, searched
from expunge.study.executors.choice import Choice
from expunge.study.plan import Study
from expunge.study.store import Status, Store
from expunge.study.text_plan import SECONDS_A_REQUEST, requests

RATE = 1.4e10
"""Trained tokens × parameters a second on two cores: SmolLM2's 135 million parameters at about 100 tokens a second."""
OVERHEAD_S = 3.0
PARAMETERS = {"smollm2": 135e6, "tiny": 0.2e6, "tiny-moe": 0.3e6}
UNKNOWN_PARAMETERS = 135e6
BYTES = 4
COPIES = {"teach": 4.5, "unlearn": 5.0, "attack": 5.5, "evaluate": 2.5, "knowledge": 1.5, "certify": 6.5, "audit": 0.0}
"""Copies of the weights in memory: weights, gradient, two moments; references, the attacked copy, the original."""
BASE_GIB = 0.5


@dataclass(frozen=True, slots=True)
class Planned:
    """One cell of a plan; ``tokens``, ``seconds`` and ``gib`` are what it will take, or took when it is done."""

    cell: Cell
    status: Status
    tokens: int
    seconds: float
    gib: float
    requests: int = 0

    def columns(self) -> tuple[str, str, str, str, str, str]:
        """Folder, label, state, tokens, minutes and memory in GiB, as text."""
        numbers = (f"{self.tokens:,}", f"{self.seconds / 60:.1f}", f"{self.gib:.1f}")
        return (self.cell.folder, self.cell.label, self.status, *numbers)


@dataclass(frozen=True, slots=True)
class Stage:
    """The open cells of one kind; ``hours`` are those of single cells added up, ``gpu_hours`` those times GPUs."""

    kind: str
    cells: int
    tokens: int
    hours: float
    gpu_hours: float

    @classmethod
    def of(cls, kind: str, items: Sequence[Planned], gpus: float) -> "Stage":
        """The sums of ``items``."""
        hours = sum(item.seconds for item in items) / 3600
        return cls(kind, len(items), sum(item.tokens for item in items), hours, hours * gpus)

    def columns(self) -> tuple[str, str, str, str, str]:
        """Kind, cells, tokens, hours and GPU-hours, as text."""
        gpu_hours = f"{self.gpu_hours:.2f}" if self.gpu_hours else "-"
        return (self.kind, str(self.cells), f"{self.tokens:,}", f"{self.hours:.2f}", gpu_hours)


@dataclass(frozen=True, slots=True)
class Plan:
    """The cells of a study in running order, how many run side by side, and the GPUs that each is given."""

    cells: tuple[Planned, ...]
    workers: int
    gpus: float = 0

    @property
    def open(self) -> tuple[Planned, ...]:
        """The cells that are still to be run."""
        return tuple(item for item in self.cells if item.status != "done")

    def stages(self) -> tuple["Stage", ...]:
        """What is open, summed by kind of cell, in the order in which kinds first run."""
        kinds = dict.fromkeys(item.cell.kind for item in self.cells)
        left: dict[str, list[Planned]] = {kind: [] for kind in kinds}
        for item in self.open:
            left[item.cell.kind].append(item)
        return tuple(Stage.of(kind, items, self.gpus) for kind, items in left.items())

    def summary(self) -> str:
        """One sentence: what is done, and what the rest will take."""
        todo, abreast = self.open, max(1, self.workers)
        minutes = sum(item.seconds for item in todo) / abreast / 60
        memory = sum(sorted((item.gib for item in todo), reverse=True)[:abreast])
        requests = sum(item.requests for item in todo)
        asked = f"{requests:,} requests, " if requests else ""
        return (
            f"{len(self.cells) - len(todo)} of {len(self.cells)} cells are done; the rest takes about "
            f"{asked}{sum(item.tokens for item in todo):,} tokens, "
            f"{minutes:.0f} minutes and {memory:.1f} GiB of memory."
        )


def estimated(study: Study, store: Store) -> Plan:
    """The plan of ``study``, with what ``store`` holds already."""
    facts = facts_of(study)
    guesses = {cell.folder: _guess(cell, facts) for cell in study.cells}
    factor = _correction(study.cells, guesses, store)
    planned = [_planned(cell, guesses[cell.folder], factor, store) for cell in study.cells]
    backend = (study.recipe.executor or Choice()).build()
    return Plan(tuple(planned), backend.abreast(study.recipe.workers), backend.gpus_a_cell)


def facts_of(study: Study) -> dict[str, Knowledge]:
    """What each knowledge cell holds, and each request cell by its share: which subjects it has is not known yet."""
    facts = {r.knowledge.folder: r.facts for _, replicates in study.worlds for r in replicates}
    for cell in study.cells:
        if cell.kind == "request":
            whole = facts[cell.inputs["knowledge"].folder]
            held = (cell.config["last"] - cell.config["first"] + 1) / study.recipe.requests
            facts[cell.folder] = replace(whole, forget=whole.forget[: max(1, round(held * len(whole.forget)))])
    return facts


def _planned(cell: Cell, guess: "Guess", factor: float, store: Store) -> Planned:
    """A done cell by its record, an open one by its guess."""
    status = store.status(cell)
    if status == "done":
        record = store.record(cell)
        return Planned(cell, status, int(record["tokens"]), record["wall_s"], record["peak_memory_mb"] / 1024)
    seconds = OVERHEAD_S + factor * guess.seconds
    return Planned(cell, status, round(guess.tokens), seconds, guess.gib, guess.requests)


def _correction(cells: Sequence[Cell], guesses: Mapping[str, "Guess"], store: Store) -> float:
    """Median of measured over guessed time among the finished cells that took a while; 1 without any."""
    ratios = [
        (store.record(cell)["wall_s"] - OVERHEAD_S) / guesses[cell.folder].seconds
        for cell in cells
        if guesses[cell.folder].seconds > OVERHEAD_S and store.status(cell) == "done"
    ]
    return max(0.1, median(ratios)) if ratios else 1.0


@dataclass(frozen=True, slots=True)
class Guess:
    """Token equivalents of training, seconds without overhead, memory, and requests to an endpoint."""

    tokens: float
    seconds: float
    gib: float
    requests: int = 0


def _guess(cell: Cell, facts: Mapping[str, Knowledge]) -> Guess:
    """The rule of thumb of the cell's kind."""
    if cell.kind.endswith("_text"):
        asked = requests(cell, facts[cell.inputs["knowledge"].folder])
        return Guess(0, asked * SECONDS_A_REQUEST, BASE_GIB, asked)
    if cell.kind not in RULES:
        return Guess(0, 0, BASE_GIB)
    tokens = RULES[cell.kind](cell.config, facts[cell.inputs["knowledge"].folder])
    size = parameters(cell.config["model"])
    return Guess(tokens, tokens * size / RATE, BASE_GIB + _copies(cell) * size * BYTES / 2**30)


def _copies(cell: Cell) -> float:
    """Copies of the weights; what a smoother holds comes on top, but for the first step's copy, which is gone then."""
    if cell.kind != "unlearn":
        return COPIES[cell.kind]
    smoother = _smoother(parse(cell.config["method"]))
    return COPIES[cell.kind] + max(0.0, copies_of(smoother) - 1.0 if smoother else 0.0)


def _smoother(spec: MethodSpec) -> Smoother | None:
    """The smoother of a method, or of the one that runs inside it; ``None`` where none is named."""
    if spec.method is None:
        built: Smoother = spec.smoothing.build()
        return built
    inner = getattr(spec.method.build(), "inner", None)
    return None if inner is None else _smoother(parse(inner))


def parameters(model: Mapping[str, Any]) -> float:
    """Number of weights, from the name, the sizes, or the files of a folder; an unknown hub model counts as SmolLM2."""
    if model["source"] == "small":
        return float(12 * model["layers"] * model["hidden"] ** 2 + model["vocab"] * model["hidden"])
    files = list(Path(model["source"]).glob("*.safetensors"))
    if files:
        return sum(file.stat().st_size for file in files) / BYTES
    return PARAMETERS.get(model["source"], UNKNOWN_PARAMETERS)


def _trained(train: Mapping[str, Any], rows: Sequence[float]) -> float:
    """Tokens of one stream under training settings."""
    if not rows:
        return 0.0
    if train.get("steps"):
        return float(train["steps"] * train.get("batch_size", 8) * sum(rows) / len(rows))
    return float(train.get("epochs") or 1) * sum(rows)


def _teach(config: Mapping[str, Any], facts: Knowledge) -> float:
    retain = lengths([*facts.retain_train, *facts.retain_eval], config["forms"])
    if config["stage"] == "trunk":
        return _trained(config["train"], retain)
    forget = lengths(facts.forget, config["forms"])
    kept = retain if config["stage"] == "joint" else retain[: round(config["rehearsal"] * len(forget))]
    return _trained(config["train"], [*forget, *kept])


def _unlearn(config: Mapping[str, Any], facts: Knowledge) -> float:
    spec = parse(config["method"])
    rows = lengths(facts.forget, config["forms"])
    return method_of(spec).passes() * _trained(layered(config["train"], spec.train), rows)


def _attack(config: Mapping[str, Any], facts: Knowledge) -> float:
    """Training along every trajectory and a reading of all at every point; else what is tried or searched."""
    grid = registry.build("attack", config["attack"], **config["params"])
    rows = lengths(facts.forget, ("qa",)) or lengths(facts.forget, None)
    reading = FORWARD * (sum(rows) + 2 * sum(lengths(facts.retain_eval, ("qa",))) + 64 * 24)
    if not hasattr(grid, "rows_of_grid"):
        sources, budgets = getattr(grid, "sources", ("",)), getattr(grid, "budgets", (1,))
        tries = 0 if config["only_before"] else len(sources) * budgets[-1]
        return float(reading + tries * (searched(grid, facts) or FORWARD * sum(rows)))
    runs = 0 if config["only_before"] else len(grid.rows_of_grid())
    training = runs * grid.steps[-1] * grid.batch_size * sum(rows) / len(rows)
    return float(training + reading * (1 + runs * len(grid.steps)))


def _evaluate(config: Mapping[str, Any], facts: Knowledge) -> float:
    """Scores, four rivals of every forget answer, written answers, and the stored samples."""
    sizes = config["eval"]
    rows = lengths([*facts.forget, *facts.retain_eval], ("qa",)) or lengths(facts.forget, None)
    written = 2 * sizes["generate"] * 2 * TOKENS_PER_ROW
    stored = sizes["samples"] * sizes["sample_tokens"] * (1 + config["original"])
    return FORWARD * float(6 * sum(rows) + written + stored)


def _certify(config: Mapping[str, Any], facts: Knowledge) -> float:
    """V asked of both models and, where the certificate trains, each attribute held back once at every rate."""
    certificate: Any = _innermost(certificate_of(config["certificate"]))
    rows, attributes = lengths(facts.forget, ("qa",)), len({fact.attribute for fact in facts.forget})
    runs = attributes * len(getattr(certificate, "rates", ()))
    trained = runs * certificate.steps[-1] * certificate.batch_size * sum(rows) / max(len(rows), 1) if runs else 0.0
    return float(trained + FORWARD * 2 * sum(rows))


def _innermost(certificate: Any) -> Any:
    """What trains in a certificate that first undoes something else."""
    while getattr(certificate, "inner", None) is not None:
        certificate = certificate_of(certificate.inner)
    return certificate


RULES: Mapping[str, Callable[[Mapping[str, Any], Knowledge], float]] = {
    "teach": _teach,
    "unlearn": _unlearn,
    "attack": _attack,
    "evaluate": _evaluate,
    "certify": _certify,
}
