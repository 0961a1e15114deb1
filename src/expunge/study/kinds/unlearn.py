"""Unlearn cells: one method on the original model, or on what it left after the request before.

The model it starts from is also what the objective takes for its frozen reference.

Config: ``model`` (key), ``method`` (mapping form), ``train`` (shared settings), ``forms``, ``seed``.
Inputs: ``knowledge``, ``original`` (its evaluate cell, for the stored samples), ``model`` where it was taught or
unlearned before. Writes ``model/``.
"""

from collections.abc import Mapping
from typing import Any

from expunge.builders.base import Material
from expunge.distributed.export import save_any
from expunge.methods.grammar import parse
from expunge.methods.run import method_of, run_method
from expunge.study import baselines, facts_io
from expunge.study.base_model import opened
from expunge.study.execute import Job
from expunge.study.record import Outcome
from expunge.study.trained import described


def shares(config: Mapping[str, Any]) -> bool:
    """Whether several processes can run the method together."""
    return not method_of(parse(config["method"])).alone()


def run(job: Job) -> Outcome:
    """Unlearn and save; a killed run continues from its last checkpoint in the partial folder."""
    knowledge = facts_io.read(job.inputs["knowledge"]).knowledge
    loaded = opened(job)
    retain, forms = knowledge.retain_train, job.config["forms"]
    material = Material(
        loaded=loaded,
        forget=knowledge.forget,
        retain=retain or baselines.read(job.inputs["original"]).samples,
        forms=forms,
        retain_forms=forms if retain else None,
        seed=job.config["seed"],
    )
    spec = parse(job.config["method"])
    result = run_method(spec, material, settings=job.config["train"], seed=job.config["seed"], folder=job.partial)
    fingerprint = save_any(loaded, job.folder / "model", result.model)
    about = described(result, len(knowledge.forget), retain="retain_train" if retain else "stored samples")
    return Outcome(hashes={"model": fingerprint}, tokens=result.tokens, extra={"train": about})
