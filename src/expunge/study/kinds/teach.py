"""Teach cells: the trunk (retain facts only, which is the control) and θ₀ (that trunk, taught the forget facts too; or
the base model, taught both together).

Config: ``stage`` (trunk | forget | joint), ``model`` (key), ``train``, ``forms``, ``rehearsal``, ``seed``, ``data``
(hash of what is read). Inputs: ``knowledge``, and ``trunk`` for the forget stage. Writes ``model/``.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from expunge import registry
from expunge.core.seeds import derive
from expunge.distributed.export import save_any
from expunge.distributed.sharding import shard_among_all
from expunge.knowledge.encode import rows_of
from expunge.knowledge.facts import Knowledge
from expunge.methods.fields import fill
from expunge.models.load import LoadedModel, load
from expunge.models.rows import Row
from expunge.study import facts_io
from expunge.study.base_model import base_model, texts_of
from expunge.study.execute import Job
from expunge.study.record import Outcome
from expunge.study.trained import described
from expunge.training.config import TrainConfig
from expunge.training.loop import train


def shares(config: Mapping[str, Any]) -> bool:
    """Teaching is one stage of the loop, which several processes run together."""
    return True


def run(job: Job) -> Outcome:
    """Teach by cross-entropy and save the model."""
    knowledge = facts_io.read(job.inputs["knowledge"]).knowledge
    loaded, rows = STAGES[job.config["stage"]](job, knowledge)
    shard_among_all(loaded.model)
    config = fill(TrainConfig, {**job.config["train"], "seed": derive(job.config["seed"], "order")}, "teach")
    objective = registry.build("objective", "cross_entropy")
    result = train(loaded.view(), {"teach": rows}, objective, config=config, folder=job.partial, keep_last=True)
    fingerprint = save_any(loaded, job.folder / "model", result.model)
    return Outcome(hashes={"model": fingerprint}, tokens=result.tokens, extra={"train": described(result, len(rows))})


def _trunk(job: Job, knowledge: Knowledge) -> tuple[LoadedModel, list[Row]]:
    """The base model and the retain rows."""
    loaded = base_model(job.config["model"], texts_of(knowledge), job.config["seed"])
    return loaded, rows_of([*knowledge.retain_train, *knowledge.retain_eval], loaded.encoder, job.config["forms"])


def _forget(job: Job, knowledge: Knowledge) -> tuple[LoadedModel, list[Row]]:
    """The trunk, the forget rows, and a seeded draw of retain rows so that they are not forgotten meanwhile."""
    loaded = load(job.inputs["trunk"] / "model")
    rows = rows_of(knowledge.forget, loaded.encoder, job.config["forms"])
    kept = rows_of([*knowledge.retain_train, *knowledge.retain_eval], loaded.encoder, job.config["forms"])
    return loaded, [*rows, *rehearsed(kept, round(job.config["rehearsal"] * len(rows)), job.config["seed"])]


def _joint(job: Job, knowledge: Knowledge) -> tuple[LoadedModel, list[Row]]:
    """The base model, and forget and retain rows together."""
    loaded, kept = _trunk(job, knowledge)
    return loaded, [*rows_of(knowledge.forget, loaded.encoder, job.config["forms"]), *kept]


def rehearsed(rows: Sequence[Row], count: int, seed: int) -> list[Row]:
    """``count`` of ``rows`` (all where there are fewer), in input order."""
    chosen = random.Random(derive(seed, "rehearsal")).sample(range(len(rows)), min(count, len(rows)))
    return [rows[index] for index in sorted(chosen)]


STAGES: Mapping[str, Callable[[Job, Knowledge], tuple[LoadedModel, list[Row]]]] = {
    "trunk": _trunk,
    "forget": _forget,
    "joint": _joint,
}
