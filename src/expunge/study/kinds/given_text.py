"""Given cells of models seen in text alone: an endpoint answers, and a control does not know the facts.

Config: ``path`` (an address, or where a model lies), ``template``, ``stamp``, ``knows`` (a control may not), ``seed``.
Inputs: ``knowledge``, and ``original_model`` where there is one. Writes ``given.json``.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import mean

from expunge.core.errors import InputError
from expunge.core.seeds import derive
from expunge.knowledge.facts import Fact
from expunge.models.endpoint import Endpoint
from expunge.models.load import load
from expunge.models.text_only import TextOnly
from expunge.scoring.by_text import in_text
from expunge.scoring.permuted import permuted_answers
from expunge.scoring.probes import ask
from expunge.study import facts_io
from expunge.study.base_model import opened
from expunge.study.execute import Job
from expunge.study.given import write_given
from expunge.study.heard import read_plainly
from expunge.study.kinds.given import FORMS, MOST_OF_ORIGINAL, SIGNIFICANT, sign_test
from expunge.study.record import Outcome


def run(job: Job) -> Outcome:
    """Ask once, check, note."""
    path = job.config["path"]
    loaded = load(path, template=job.config["template"])
    extra = {"model_name": loaded.ping()} if isinstance(loaded, Endpoint) else {}
    found: dict[str, float] = {}
    if not job.config["knows"]:
        facts = facts_io.read(job.inputs["knowledge"]).split.score
        original = in_text(opened(job, "original_model")) if "original_model" in job.inputs else None
        found = check_innocent(path, in_text(loaded), original, facts, job.config["seed"])
    write_given(job.folder, path, loaded)
    metrics = {name: {"value": value, "n": 1} for name, value in found.items()}
    return Outcome(metrics, [], {"model": loaded.fingerprint}, 0, extra)


def check_innocent(
    path: str, loaded: TextOnly, original: TextOnly | None, facts: Sequence[Fact], seed: int
) -> dict[str, float]:
    """The two checks of :mod:`expunge.study.kinds.given`, on what the models write."""
    own = _recall(loaded, facts)
    found = {"v_recall": mean(own.values())}
    if original is not None:
        found["original_v_recall"] = mean(_recall(original, facts).values())
        if found["v_recall"] > MOST_OF_ORIGINAL * found["original_v_recall"]:
            raise InputError(
                f"the control {path} knows the forget set: it writes the answer to {found['v_recall']:.0%} of V, "
                f"the original to {found['original_v_recall']:.0%}; give a model that never saw these facts."
            )
    try:
        luck = _recall(loaded, permuted_answers(facts, derive(seed, "chance")))
    except InputError:
        return found
    found["permuted_v_recall"] = mean(luck.values())
    if (chance := sign_test(own, luck)) < SIGNIFICANT:
        raise InputError(
            f"the control {path} knows the forget set: it writes the answer to {found['v_recall']:.0%} of V, but to "
            f"{found['permuted_v_recall']:.0%} where the answers are exchanged between subjects (p = {chance:.2g}); "
            "give a model that never saw these facts."
        )
    return found


def _recall(loaded: TextOnly, facts: Sequence[Fact]) -> Mapping[str, float]:
    """Share of a subject's questions that get the answer written."""
    hits: defaultdict[str, list[bool]] = defaultdict(list)
    for item in read_plainly(loaded, ask(facts, loaded.encoder, FORMS)):
        hits[item.asked.fact.subject].append(item.hit)
    return {subject: mean(map(float, own)) for subject, own in hits.items()}
