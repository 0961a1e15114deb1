"""What utility is measured against: the original's levels and its own stored text, beside its evaluate cell."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from expunge.core.files import read_json, write_json
from expunge.knowledge.facts import Fact
from expunge.metrics.utility import Levels, Utility
from expunge.models.chat import Encoder
from expunge.scoring.probes import ask
from expunge.study.facts_io import facts_from

FILE = "baseline.json"


@dataclass(frozen=True, slots=True)
class Baseline:
    """The original's stored samples and levels; ``forms`` are the forms that R_eval is asked in."""

    samples: tuple[Fact, ...]
    levels: Levels
    forms: tuple[str, ...]


def write(folder: Path, baseline: Baseline) -> None:
    """Write ``baseline.json`` into the evaluate cell of the original."""
    write_json(folder / FILE, asdict(baseline))


def read(folder: Path) -> Baseline:
    """What :func:`write` wrote."""
    raw = read_json(folder / FILE)
    return Baseline(facts_from(raw["samples"]), Levels(**raw["levels"]), tuple(raw["forms"]))


def utility(baseline: Baseline, encoder: Encoder, eval_facts: Sequence[Fact]) -> Utility:
    """The measure that compares another model with the original, without running the original again."""
    questions = tuple(ask(eval_facts, encoder, baseline.forms))
    texts = tuple(ask(baseline.samples, encoder))
    return Utility(encoder, questions, texts, baseline.levels, baseline.levels.containment is not None)
