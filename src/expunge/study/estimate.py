"""What a study will take: tokens, time and memory of each cell.

Tokens are counted from rows (:mod:`expunge.study.effort`), time is theirs over a rate (:mod:`expunge.study.rates`),
corrected by the finished cells of the same study, each kind by its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from expunge.distributed.plan import copies_of
from expunge.knowledge.facts import Knowledge
from expunge.methods.grammar import MethodSpec, parse
from expunge.smoothing.base import Smoother
from expunge.study.cells import Cell
from expunge.study.effort import effort_of
from expunge.study.execute import shares
from expunge.study.executors.choice import Choice
from expunge.study.makespan import makespan
from expunge.study.plan import Study
from expunge.study.rates import START_S, Rates
from expunge.study.scheduler import to_run
from expunge.study.sections import EvalSection
from expunge.study.store import Status, Store
from expunge.study.text_plan import SECONDS_A_REQUEST, requests

LEAST_S = 3.0
"""A cell that was guessed to take less says nothing about the speed."""
PARAMETERS = {"smollm2": 135e6, "tiny": 0.2e6, "tiny-moe": 0.3e6}
UNKNOWN_PARAMETERS = 135e6
BYTES = 4
COPIES = {"teach": 4.5, "unlearn": 5.0, "attack": 5.5, "evaluate": 2.5, "knowledge": 1.5, "certify": 6.5}
"""Copies of the weights in memory: weights, gradient, two moments; references, the attacked copy, the original."""
BASE_GIB = 0.5


@dataclass(frozen=True, slots=True)
class Planned:
    """One cell of a plan; ``tokens``, ``seconds`` and ``gib`` are what it will take, or took when it is done.

    A done cell is to be run ``again`` where its model was not kept and a reader needs it.
    """

    cell: Cell
    status: Status
    tokens: int
    seconds: float
    gib: float
    requests: int = 0
    again: bool = False

    @property
    def open(self) -> bool:
        """Whether a run would compute it."""
        return self.again or self.status != "done"

    def columns(self) -> tuple[str, str, str, str, str, str]:
        """Folder, label, state, tokens, minutes and memory in GiB, as text."""
        numbers = (f"{self.tokens:,}", f"{self.seconds / 60:.1f}", f"{self.gib:.1f}")
        return (self.cell.folder, self.cell.label, "again" if self.again else self.status, *numbers)


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
    """The cells of a study in running order, how many run side by side, the GPUs that each is given, and the processes
    that share one where its kind can be shared."""

    cells: tuple[Planned, ...]
    workers: int
    gpus: float = 0
    processes: int = 1

    @property
    def open(self) -> tuple[Planned, ...]:
        """The cells that are still to be run."""
        return tuple(item for item in self.cells if item.open)

    def seconds(self, runs: int) -> float:
        """Wall time of the open cells, by ``runs`` runs of so many workers each."""
        left = {item.cell.folder: item.seconds for item in self.open}
        return makespan([item.cell for item in self.open], left, max(1, self.workers) * runs)

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
        minutes = self.seconds(1) / 60
        memory = sum(sorted((item.gib for item in todo), reverse=True)[:abreast])
        requests = sum(item.requests for item in todo)
        asked = f"{requests:,} requests, " if requests else ""
        return (
            f"{len(self.cells) - len(todo)} of {len(self.cells)} cells are done; the rest takes about "
            f"{asked}{sum(item.tokens for item in todo):,} tokens, "
            f"{minutes:.0f} minutes and {memory:.1f} GiB of memory.{self._sharing()}"
        )

    def _sharing(self) -> str:
        """How many open cells are computed by several processes, where a recipe asks for that."""
        if self.processes == 1:
            return ""
        shared = sum(shares(item.cell) for item in self.open)
        return f" {shared} of these {len(self.open)} cells are shared by {self.processes} processes each."


def estimated(study: Study, store: Store, rates: Rates | None = None) -> Plan:
    """The plan of ``study``, with what ``store`` holds already; ``rates`` are measured ones, else rules of thumb."""
    facts, sizes = facts_of(study), study.recipe.eval
    guesses = {cell.folder: _guess(cell, facts, sizes, rates) for cell in study.cells}
    factors = _corrections(study.cells, guesses, store)
    wanted = {cell.folder for cell in to_run(study.cells, store)}
    planned = [
        _planned(cell, guesses[cell.folder], factors.get(cell.kind, 1.0), store, again=cell.folder in wanted)
        for cell in study.cells
    ]
    backend = (study.recipe.executor or Choice()).build()
    abreast = backend.abreast(study.recipe.workers)
    return Plan(tuple(planned), abreast, backend.gpus_a_cell, study.recipe.processes)


def facts_of(study: Study) -> dict[str, Knowledge]:
    """What each knowledge cell holds, and each request cell by its share: which subjects it has is not known yet."""
    facts = {r.knowledge.folder: r.facts for _, replicates in study.worlds for r in replicates}
    for cell in study.cells:
        if cell.kind == "request":
            whole = facts[cell.inputs["knowledge"].folder]
            held = (cell.config["last"] - cell.config["first"] + 1) / study.recipe.requests
            facts[cell.folder] = replace(whole, forget=whole.forget[: max(1, round(held * len(whole.forget)))])
    return facts


def _planned(cell: Cell, guess: "Guess", factor: float, store: Store, *, again: bool) -> Planned:
    """A done cell by its record, also one whose dropped model is wanted ``again``; an open one by its guess."""
    status = store.status(cell)
    if status == "done":
        record = store.record(cell)
        cost = (int(record["tokens"]), record["wall_s"], record["peak_memory_mb"] / 1024)
        return Planned(cell, status, *cost, again=again)
    seconds = guess.start_s + factor * guess.seconds
    return Planned(cell, status, round(guess.tokens), seconds, guess.gib, guess.requests)


def _corrections(cells: Sequence[Cell], guesses: Mapping[str, "Guess"], store: Store) -> dict[str, float]:
    """By kind, the median of measured over guessed time of finished cells; that of all for a kind that has none."""
    ratios: dict[str, list[float]] = {cell.kind: [] for cell in cells}
    for cell in cells:
        guess = guesses[cell.folder]
        if guess.seconds > LEAST_S and store.status(cell) == "done":
            ratios[cell.kind].append(max(0.1, (store.record(cell)["wall_s"] - guess.start_s) / guess.seconds))
    overall = [ratio for found in ratios.values() for ratio in found] or [1.0]
    return {kind: median(found or overall) for kind, found in ratios.items()}


@dataclass(frozen=True, slots=True)
class Guess:
    """Token equivalents of training, seconds after the start and those of it, memory, and requests to an endpoint."""

    tokens: float
    seconds: float
    gib: float
    requests: int = 0
    start_s: float = 0.0


def _guess(cell: Cell, facts: Mapping[str, Knowledge], sizes: EvalSection, rates: Rates | None) -> Guess:
    """The cell's effort at the measured rates, or at those of its model's size."""
    if cell.kind.endswith("_text"):
        asked = requests(cell, facts[cell.inputs["knowledge"].folder])
        return Guess(0, asked * SECONDS_A_REQUEST, BASE_GIB, asked)
    if "model" not in cell.config:
        return Guess(0, 0, BASE_GIB, start_s=START_S)
    effort, size = effort_of(cell, facts, sizes), parameters(cell.config["model"])
    speed = rates or Rates.guessed(size)
    gib = BASE_GIB + _copies(cell) * size * BYTES / 2**30
    return Guess(effort.tokens, speed.seconds(effort), gib, start_s=speed.start_s)


def _copies(cell: Cell) -> float:
    """Copies of the weights; what a smoother holds comes on top, but for the first step's copy, which is gone then."""
    if cell.kind != "unlearn":
        return COPIES.get(cell.kind, 1.0)
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
