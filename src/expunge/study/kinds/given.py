"""Given cells: a model that somebody else made, checked and noted; nothing is copied.

Config: ``path``, ``template`` (null: the original's, else the model's own), ``stamp`` (of its files), ``knows``
(whether it may know the forget set; a control may not), ``seed``. Inputs: ``original_model`` where there is one, and
``knowledge`` for a model that must not know. Writes ``given.json``.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from statistics import mean

from scipy import stats

from expunge.core.errors import InputError
from expunge.core.seeds import derive
from expunge.knowledge.facts import Fact
from expunge.models.load import LoadedModel, load
from expunge.scoring.permuted import permuted_answers
from expunge.scoring.probes import score_facts
from expunge.study import facts_io
from expunge.study.base_model import opened
from expunge.study.execute import Job
from expunge.study.given import write_given
from expunge.study.record import Outcome

FORMS = ("qa",)
MOST_OF_ORIGINAL = 0.3
"""A control that answers more than this share of what the original answers knows the facts (our choice)."""
SIGNIFICANT = 0.05
"""Level of the one-sided sign test over subjects: true answers against permuted ones (our choice)."""

Scores = Mapping[str, float]
Recall = Callable[[Sequence[Fact]], Scores]
"""Share of a subject's questions that a model answers, by subject."""


def run(job: Job) -> Outcome:
    """Load, check, note."""
    path, template = job.config["path"], job.config["template"]
    original = opened(job, "original_model") if "original_model" in job.inputs else None
    loaded = load(path, template=template or (original.encoder.template if original is not None else None))
    if original is not None:
        check_vocabulary(path, loaded, original)
    found: dict[str, float] = {}
    if not job.config["knows"]:
        facts = facts_io.read(job.inputs["knowledge"]).split.score
        known = None if original is None else partial(recall, original)
        found = dict(check_innocent(path, partial(recall, loaded), known, facts, job.config["seed"]))
    write_given(job.folder, path, loaded)
    metrics = {name: {"value": value, "n": 1} for name, value in found.items()}
    return Outcome(metrics, [], {"model": loaded.fingerprint})


def check_vocabulary(path: str, loaded: LoadedModel, original: LoadedModel) -> None:
    """Refuse a model that splits text otherwise than the original: their probabilities could not be compared."""
    if loaded.tokenizer.get_vocab() != original.tokenizer.get_vocab():
        raise InputError(
            f"{path} has another tokenizer than the original {original.source}; audit a model with the same one."
        )
    sizes = [model.model.config.get_text_config().vocab_size for model in (loaded, original)]
    if sizes[0] != sizes[1]:
        raise InputError(
            f"{path} has a vocabulary of {sizes[0]} entries, the original {original.source} one of {sizes[1]}; "
            "audit a model with the same one."
        )


def check_innocent(
    path: str,
    own: Recall,
    original: Recall | None,
    facts: Sequence[Fact],
    seed: int,
    *,
    does: str = "before any attack it answers",
    to: str = "",
) -> Scores:
    """Refuse a control that knows V before any attack, and show the evidence; else return its recalls.

    It knows when it answers more than 0.3 of what the original answers, or when it gives the true answer to
    significantly more subjects than the answer of another subject (where answers can be exchanged). ``does`` and
    the preposition ``to`` say in the sentence what counts as answering.
    """
    told = own(facts)
    found = {"v_recall": mean(told.values())}
    begins = f"the control {path} knows the forget set: {does} {found['v_recall']:.0%} of V"
    if original is not None:
        found["original_v_recall"] = mean(original(facts).values())
        if found["v_recall"] > MOST_OF_ORIGINAL * found["original_v_recall"]:
            raise InputError(
                f"{begins}, the original {to}{found['original_v_recall']:.0%}; give a model that never saw these facts."
            )
    try:
        luck = own(permuted_answers(facts, derive(seed, "chance")))
    except InputError:
        return found
    found["permuted_v_recall"] = mean(luck.values())
    if (chance := sign_test(told, luck)) < SIGNIFICANT:
        raise InputError(
            f"{begins}, but {to}{found['permuted_v_recall']:.0%} where the answers are exchanged between subjects "
            f"(p = {chance:.2g}); give a model that never saw these facts."
        )
    return found


def recall(loaded: LoadedModel, facts: Sequence[Fact]) -> Scores:
    """Mean greedy match by subject."""
    hits: defaultdict[str, list[bool]] = defaultdict(list)
    for item in score_facts(loaded.view(), loaded.encoder, facts, FORMS):
        hits[item.fact.subject].append(item.score.greedy)
    return {subject: mean(map(float, own)) for subject, own in hits.items()}


def sign_test(true: Scores, permuted: Scores) -> float:
    """One-sided p that more subjects score higher with their own answers than with exchanged ones by chance alone."""
    gaps = [true[subject] - permuted[subject] for subject in true.keys() & permuted.keys()]
    higher, lower = sum(gap > 0 for gap in gaps), sum(gap < 0 for gap in gaps)
    return float(stats.binomtest(higher, higher + lower, alternative="greater").pvalue) if higher + lower else 1.0
