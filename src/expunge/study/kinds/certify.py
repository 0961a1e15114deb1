"""Certify cells: does the model know what it hides? What the recipe's privileged knowledge restores; no audit reads it.

Config: ``certificate`` (name and parameters), ``model`` (key), ``seed`` (the one that the model was made with).
Inputs: ``knowledge``, ``model``, ``original_model``. Metric: ``restored``, the share of what the original answers of
V that undoing the hiding brings back; a certificate that does not fit the model gives the reason instead.
"""

from expunge.certificates.base import certificate_of
from expunge.core.errors import InputError
from expunge.study import facts_io
from expunge.study.base_model import opened
from expunge.study.execute import Job
from expunge.study.record import Outcome


def run(job: Job) -> Outcome:
    """Undo the hiding and ask."""
    material = facts_io.read(job.inputs["knowledge"])
    candidate, original = opened(job), opened(job, "original_model")
    certificate = certificate_of(job.config["certificate"])
    hashes = {"model": candidate.fingerprint, "original": original.fingerprint}
    try:
        seed = job.config["seed"]
        found = certificate.restored(candidate, original, material.knowledge, material.split, seed=seed)
    except InputError as error:
        return Outcome({"restored": {"value": None, "n": 0, "reason": str(error)}}, hashes=hashes)
    return Outcome({"restored": {"value": found, "n": 1}}, hashes=hashes)
