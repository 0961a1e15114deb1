"""Score a seeded sample of a cell's rows again with the stored model, and compare hits and log-probabilities."""

import json
import math
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from expunge import registry
from expunge.attacks.saying import asked_of
from expunge.audit.types import BEFORE
from expunge.core.errors import ExpungeError
from expunge.core.seeds import derive
from expunge.models.load import LoadedModel
from expunge.scoring.probes import Asked, ask, asking_forms, score_asked
from expunge.scoring.teacher_forced import RowScore
from expunge.study import facts_io
from expunge.study.base_model import opened
from expunge.study.execute import Job
from expunge.study.facts_io import Material
from expunge.study.given import GIVEN
from expunge.study.kinds.evaluate import FORMS, asked_facts

TOLERANCE = 1e-4
"""Nats a label token by which a log-probability may differ (our choice: batches of other shapes round otherwise)."""
Row = Mapping[str, Any]
Key = tuple[Any, ...]


@dataclass(slots=True)
class Rescored:
    """What differs, what could not be checked, and how many rows were scored again."""

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    rows: int = 0


def rescored(folder: Path, config: Mapping[str, Any], record: Mapping[str, Any], rows: int) -> Rescored:
    """Compare at most ``rows`` rows of an evaluate cell, or of an attack cell before the attack, with the model now."""
    if config["kind"] not in READERS or not rows:
        return Rescored()
    job = Job(config["config"], {n: folder.parent / item for n, item in config["inputs"].items()}, folder, folder)
    if record.get("redacted"):
        return Rescored(notes=["not checkable: redacted"])
    if "model" in job.inputs and not any((job.inputs["model"] / name).exists() for name in ("model", GIVEN)):
        return Rescored(notes=["not checkable: model dropped"])
    try:
        loaded = opened(job)
    except ExpungeError as error:
        return Rescored(notes=[f"not checkable: {error}"])
    if loaded.fingerprint != record["hashes"]["model"]:
        return Rescored(problems=["the model that it was measured on has another fingerprint now."])
    return _compared(READERS[config["kind"]](job, loaded), loaded, random.Random(derive(0, config["hash"])), rows)


@dataclass(frozen=True, slots=True)
class Expected:
    """Rows of a cell by key, the probes that may have given them by the same key, and how a row states its score.

    ``said``: the hits are of what was written, so that only the log-probabilities can be scored again.
    """

    rows: Mapping[Key, Row]
    asked: Mapping[Key, Asked]
    logprob: Callable[[Row, RowScore], tuple[float, float]]
    said: bool = False


def _evaluate(job: Job, loaded: LoadedModel) -> Expected:
    """Forget and R_eval probes; a row gives exp of the mean log-probability of its label tokens."""
    material = facts_io.read(job.inputs["knowledge"])
    groups = {"forget": asked_facts(material.split), "retain_eval": material.knowledge.retain_eval}
    forms = tuple(job.config["eval"]["forms"] or FORMS)
    asked = {name: ask(facts, loaded.encoder, forms or asking_forms(facts)) for name, facts in groups.items()}
    return Expected(_numbered(_rows(job.folder)), _named(asked), _mean)


def _attack(job: Job, loaded: LoadedModel) -> Expected:
    """V before the attack; a row gives the summed log-probability of its label tokens."""
    material: Material = facts_io.read(job.inputs["knowledge"])
    split = material.split if job.config["target"] == "forget" else material.placebo
    assert split is not None
    grid = registry.build("attack", job.config["attack"], **job.config["params"])
    said = getattr(grid, "hits", "greedy") == "said"
    rows = (row for row in _rows(job.folder) if row["point"] == BEFORE and row["split"] == "V")
    return Expected(_numbered(rows), _named({"V": asked_of(grid, split.score, loaded.encoder)}), _sum, said)


READERS: Mapping[str, Callable[[Job, LoadedModel], Expected]] = {"evaluate": _evaluate, "attack": _attack}


def _mean(row: Row, score: RowScore) -> tuple[float, float]:
    stated = row["probability"]
    return (math.log(stated) if stated > 0 else -math.inf), -score.nll_mean


def _sum(row: Row, score: RowScore) -> tuple[float, float]:
    return row["logprob"] / len(score.logprobs), -score.nll_mean


def _rows(folder: Path) -> list[Row]:
    lines = (folder / "samples.jsonl").read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines if line]


def _numbered(rows: Iterable[Row]) -> dict[Key, Row]:
    """Rows by set, fact, form and a number among equals."""
    seen: Counter[Key] = Counter()
    found: dict[Key, Row] = {}
    for row in rows:
        key = (row["split"], row["fact"], row["form"])
        found[*key, seen[key]] = row
        seen[key] += 1
    return found


def _named(groups: Mapping[str, Sequence[Asked]]) -> dict[Key, Asked]:
    """Probes by the same keys."""
    seen: Counter[Key] = Counter()
    found: dict[Key, Asked] = {}
    for group, asked in groups.items():
        for item in asked:
            key = (group, item.fact.id, item.probe.form)
            found[*key, seen[key]] = item
            seen[key] += 1
    return found


def _compared(expected: Expected, loaded: LoadedModel, draw: random.Random, most: int) -> Rescored:
    """Rows that should not be there, rows that are missing, and a draw of the others scored again."""
    found = Rescored()
    for key in expected.rows.keys() ^ expected.asked.keys():
        what = "has no row of" if key in expected.asked else "has a row of nothing that was asked:"
        found.problems.append(f"samples.jsonl {what} fact {key[1]!r}, form {key[2]!r}, set {key[0]}.")
    if found.problems:
        return Rescored(sorted(found.problems)[:1])
    keys = draw.sample(sorted(expected.rows), min(most, len(expected.rows)))
    scores = score_asked(loaded.view(), [expected.asked[key] for key in keys])
    for key, item in zip(keys, scores, strict=True):
        found.problems += _differs(key, expected.rows[key], item.score, expected)
    found.rows = len(keys)
    return found


def _differs(key: Key, row: Row, score: RowScore, expected: Expected) -> list[str]:
    """A sentence where a row says something else than the model does."""
    stated, now = expected.logprob(row, score)
    agree = stated == now or (stated == -math.inf and score.probability == 0.0) or abs(stated - now) <= TOLERANCE
    if agree and (expected.said or bool(row["hit"]) == score.greedy):
        return []
    return [
        f"fact {key[1]!r}, form {key[2]!r}: samples.jsonl says hit {int(row['hit'])} and {stated:.4f} nats a token, "
        f"the model gives {int(score.greedy)} and {now:.4f}."
    ]
