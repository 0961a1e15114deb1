"""Attack cells of models seen in text alone: one prompt attack, its hits read by a judge from what the model writes.

Config: ``attack``, ``params``, ``permuted`` (also read V with permuted answers, set ``P``), ``only_before`` (the
original), ``seed``. Inputs: ``knowledge``, ``model``, and ``evaluate``, the model's own evaluation, whose utility holds
at every point because nothing changes the model.
"""

import math

from expunge import registry
from expunge.attacks.prompting import PromptAttack, before_point
from expunge.core.errors import InputError
from expunge.core.files import read_json
from expunge.core.seeds import derive
from expunge.models.view import View
from expunge.scoring.by_text import in_text
from expunge.scoring.judges.base import judge_of
from expunge.scoring.probes import ask
from expunge.scoring.utility_reading import UtilityReading
from expunge.study import facts_io
from expunge.study.base_model import opened
from expunge.study.execute import Job
from expunge.study.kinds.attack import outcome_of, permuted_set
from expunge.study.record import Outcome


def run(job: Job) -> Outcome:
    """Walk the grid in text; :class:`InputError` for an attack that needs more than text."""
    material, loaded = facts_io.read(job.inputs["knowledge"]), in_text(opened(job))
    grid = registry.build("attack", job.config["attack"], **job.config["params"])
    if not isinstance(grid, PromptAttack) or not grid.by_text:
        raise InputError(f"the attack {job.config['attack']!r} needs more than text; leave it out.")
    value = read_json(job.inputs["evaluate"] / "record.json")["metrics"]["utility"]["value"]
    reading = UtilityReading(math.nan if value is None else value, {"generated": value})

    def utility(_view: View) -> UtilityReading:
        return reading

    permuted, reason = permuted_set(material.split.score, job.config)
    if job.config["only_before"]:
        asked = {"V": ask(material.split.score, loaded.encoder, grid.forms)}
        points = [before_point(loaded, asked, utility, judge_of(grid.judge))]
    else:
        seed = derive(job.config["seed"], "attack")
        points = grid.run(loaded, material.knowledge, material.split, utility, seed=seed, also_score=permuted)
    return outcome_of(points, loaded.fingerprint, {"extended": False, "permuted_reason": reason})
