"""What a cell does, in tokens trained, scored and written: counted from rows, before anything is run."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from expunge import registry
from expunge.certificates.base import certificate_of
from expunge.knowledge.facts import Knowledge
from expunge.methods.fields import layered
from expunge.methods.grammar import parse
from expunge.methods.run import method_of
from expunge.study.cells import Cell
from expunge.study.estimate_rows import FORWARD, answers, lengths, searched
from expunge.study.sections import EvalSection


@dataclass(frozen=True, slots=True)
class Effort:
    """Tokens: ``trained`` forward and backward, ``scored`` forward, ``written`` one after another."""

    trained: float = 0.0
    scored: float = 0.0
    written: float = 0.0

    def __add__(self, other: "Effort") -> "Effort":
        return Effort(self.trained + other.trained, self.scored + other.scored, self.written + other.written)

    def times(self, number: float) -> "Effort":
        """So many of it."""
        return Effort(number * self.trained, number * self.scored, number * self.written)

    @property
    def tokens(self) -> float:
        """Tokens of training that it is worth."""
        return self.trained + FORWARD * (self.scored + self.written)


Rule = Callable[[Mapping[str, Any], Knowledge, EvalSection], Effort]


def effort_of(cell: Cell, facts: Mapping[str, Knowledge], sizes: EvalSection) -> Effort:
    """The effort of a cell; none for a kind that only reads and compares."""
    rule = RULES.get(cell.kind)
    return Effort() if rule is None else rule(cell.config, facts[cell.inputs["knowledge"].folder], sizes)


def _trained(train: Mapping[str, Any], rows: Sequence[float]) -> float:
    """Tokens of one stream under training settings."""
    if not rows:
        return 0.0
    if train.get("steps"):
        return float(train["steps"] * train.get("batch_size", 8) * fmean(rows))
    return float(train.get("epochs") or 1) * sum(rows)


def _steps(train: Mapping[str, Any], rows: Sequence[float]) -> int:
    """Steps under training settings."""
    steps: int | None = train.get("steps")
    return steps or math.ceil(float(train.get("epochs") or 1) * len(rows) / train.get("batch_size", 8))


def _teach(config: Mapping[str, Any], facts: Knowledge, sizes: EvalSection) -> Effort:
    retain = lengths([*facts.retain_train, *facts.retain_eval], config["forms"])
    if config["stage"] == "trunk":
        return Effort(_trained(config["train"], retain))
    forget = lengths(facts.forget, config["forms"])
    kept = retain if config["stage"] == "joint" else retain[: round(config["rehearsal"] * len(forget))]
    return Effort(_trained(config["train"], [*forget, *kept]))


def _unlearn(config: Mapping[str, Any], facts: Knowledge, sizes: EvalSection) -> Effort:
    """The method's passes, what the original says of the forget rows, and a utility budget measured on the way."""
    spec = parse(config["method"])
    rows = lengths(facts.forget, config["forms"])
    train = layered(config["train"], spec.train)
    looks = _steps(train, rows) // train.get("eval_every", 1) if train.get("max_kl") else 0
    scored = sum(rows) + looks * sum(lengths(facts.retain_train, config["forms"]))
    return Effort(method_of(spec).passes() * _trained(train, rows), scored)


def _reading(facts: Knowledge, sizes: EvalSection) -> Effort:
    """One look at a model: the forget facts, R_eval scored and answered, and the stored samples."""
    asked = ("qa",)
    rows = lengths(facts.forget, asked) or lengths(facts.forget, None)
    samples = sizes.samples * sizes.sample_tokens
    return Effort(0, sum(rows) + sum(lengths(facts.retain_eval, asked)) + samples, answers(facts.retain_eval, asked))


def _attack(config: Mapping[str, Any], facts: Knowledge, sizes: EvalSection) -> Effort:
    """Training along every trajectory and a reading of all at every point; else what is tried or searched."""
    grid = registry.build("attack", config["attack"], **config["params"])
    rows = lengths(facts.forget, ("qa",)) or lengths(facts.forget, None)
    reading = _reading(facts, sizes)
    if config["only_before"]:
        return reading
    if not hasattr(grid, "rows_of_grid"):
        tries = len(getattr(grid, "sources", ("",))) * getattr(grid, "budgets", (1,))[-1]
        search = searched(grid, facts)
        return reading + (Effort(0, sum(rows)) if search is None else Effort(search)).times(tries)
    runs = len(grid.rows_of_grid())
    training = runs * grid.steps[-1] * grid.batch_size * fmean(rows)
    return Effort(training) + reading.times(1 + runs * len(grid.steps))


def _evaluate(config: Mapping[str, Any], facts: Knowledge, sizes: EvalSection) -> Effort:
    """Scores, four rivals and three wrong answers of every forget answer, the original's scores, and answers; of the
    original also samples."""
    known = sizes.generate / max(1, len(facts.forget))
    written = answers(facts.forget, ("qa",)) * min(1.0, known) + answers(facts.retain_eval, ("qa",))
    own = sizes.samples * sizes.sample_tokens if config["original"] else 0
    more = Effort(0, 8 * sum(lengths(facts.forget, ("qa",)) or lengths(facts.forget, None)), written + own)
    return _reading(facts, sizes) + more


def _certify(config: Mapping[str, Any], facts: Knowledge, sizes: EvalSection) -> Effort:
    """V asked of both models and, where the certificate trains, each attribute held back once at every rate."""
    certificate: Any = _innermost(certificate_of(config["certificate"]))
    rows, attributes = lengths(facts.forget, ("qa",)), len({fact.attribute for fact in facts.forget})
    runs = attributes * len(getattr(certificate, "rates", ()))
    trained = runs * certificate.steps[-1] * certificate.batch_size * fmean(rows or [0.0]) if runs else 0.0
    return Effort(trained, 2 * sum(rows))


def _innermost(certificate: Any) -> Any:
    """What trains in a certificate that first undoes something else."""
    while getattr(certificate, "inner", None) is not None:
        certificate = certificate_of(certificate.inner)
    return certificate


RULES: Mapping[str, Rule] = {
    "teach": _teach,
    "unlearn": _unlearn,
    "attack": _attack,
    "evaluate": _evaluate,
    "certify": _certify,
}
