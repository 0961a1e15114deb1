"""Given cells of models seen in text alone: an endpoint answers, and a control does not know the facts.

Config: ``path`` (an address, or where a model lies), ``template``, ``stamp``, ``knows`` (a control may not), ``seed``.
Inputs: ``knowledge``, and ``original_model`` where there is one. Writes ``given.json``.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from statistics import mean

from expunge.knowledge.facts import Fact
from expunge.models.endpoint import Endpoint
from expunge.models.load import load
from expunge.models.text_only import TextOnly
from expunge.scoring.by_text import in_text
from expunge.scoring.probes import ask
from expunge.study import facts_io
from expunge.study.base_model import opened
from expunge.study.execute import Job
from expunge.study.given import write_given
from expunge.study.heard import read_plainly
from expunge.study.kinds.given import FORMS, check_innocent
from expunge.study.record import Outcome


def run(job: Job) -> Outcome:
    """Ask once, check, note."""
    path = job.config["path"]
    loaded = load(path, template=job.config["template"])
    extra = {"model_name": loaded.ping()} if isinstance(loaded, Endpoint) else {}
    found: dict[str, float] = {}
    if not job.config["knows"]:
        facts = facts_io.read(job.inputs["knowledge"]).split.score
        beside = in_text(opened(job, "original_model")) if "original_model" in job.inputs else None
        known = None if beside is None else partial(recall, beside)
        own = partial(recall, in_text(loaded))
        found = dict(
            check_innocent(path, own, known, facts, job.config["seed"], does="it writes the answer to", to="to ")
        )
    write_given(job.folder, path, loaded)
    metrics = {name: {"value": value, "n": 1} for name, value in found.items()}
    return Outcome(metrics, [], {"model": loaded.fingerprint}, 0, extra)


def recall(loaded: TextOnly, facts: Sequence[Fact]) -> Mapping[str, float]:
    """Share of a subject's questions that get the answer written."""
    hits: defaultdict[str, list[bool]] = defaultdict(list)
    for item in read_plainly(loaded, ask(facts, loaded.encoder, FORMS)):
        hits[item.asked.fact.subject].append(item.hit)
    return {subject: mean(map(float, own)) for subject, own in hits.items()}
