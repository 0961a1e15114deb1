"""Request cells: a world as some of its requests see it. Whoever reads one never meets a fact of another request.

Config: ``first``, ``last`` (from 1). After request i a model is measured on requests 1 to i, and its unlearner read
request i alone. Input: ``knowledge``, the whole world. Writes ``knowledge.json``.
"""

from expunge.knowledge.requests import between
from expunge.study import facts_io
from expunge.study.execute import Job
from expunge.study.facts_io import Material
from expunge.study.kinds.knowledge import counts
from expunge.study.record import Outcome


def run(job: Job) -> Outcome:
    """Narrow what is to be forgotten, and T and V with it."""
    whole = facts_io.read(job.inputs["knowledge"])
    knowledge, split = between(whole.knowledge, whole.split, job.config["first"], job.config["last"])
    facts_io.write(job.folder, Material(knowledge, split, whole.placebo, whole.placebo_reason))
    facts = [*knowledge.forget, *knowledge.retain_train, *knowledge.retain_eval]
    return Outcome(hashes={"data": facts_io.fingerprint(facts)}, extra={"counts": counts(knowledge, split)})
