"""MUSE's own scores of one model: ROUGE-L F1 of what it writes, and PrivLeak.

As in MUSE's code (Shi et al., arXiv 2407.06460, section 3.1): greedy, 32 new tokens for questions, cut at an empty line
or at the next question; 128 for verbatim continuations, the truth cut to as many tokens; words are not stemmed. Numbers
are shares, not percentages.
"""

import math
import re
from collections.abc import Mapping, Sequence

from expunge.benchmarks.base import OwnScore, Seen
from expunge.benchmarks.pieces import FEW_SHOT
from expunge.core.errors import InputError
from expunge.knowledge.encode import question_ids
from expunge.knowledge.facts import Fact, Probe
from expunge.knowledge.passages import CONTINUATION
from expunge.metrics.base import MISSING, Reading, interval
from expunge.metrics.membership_sides import Membership
from expunge.metrics.relative import privleak_against
from expunge.metrics.rouge import rouge_l
from expunge.metrics.separation import auc
from expunge.models.chat import Encoder
from expunge.scoring.generate import generate
from expunge.scoring.probes import ask

SIDES = ("privleak_forget", "privleak_holdout")
QUESTION_TOKENS, VERBATIM_TOKENS = 32, 128
STOPS = re.compile(r"\n\n|\nQuestion|Question:")
FIELDS = {"f1": "fmeasure", "recall": "recall"}
SETS = {
    "forget_knowledge": "answers to questions about the texts to forget",
    "retain_knowledge": "answers to questions about the texts to keep",
    "verbatim": "continuations of the texts to forget",
}
SCORES: Mapping[str, OwnScore] = {
    **{
        f"{name}_{field}": OwnScore(f"ROUGE-L {field} of {words}", "higher" if name.startswith("retain") else "lower")
        for name, words in SETS.items()
        for field in FIELDS
    },
    "min_k_auc": OwnScore("AUC of Min-40 % between forget and held-out texts", never_trained=0.5),
    "privleak": OwnScore("PrivLeak against the control", "higher", (-100.0, math.inf), 0.0, ("control",)),
}


def measure(seen: Seen) -> dict[str, Reading]:
    """Every score of :data:`SCORES`."""
    done: dict[str, Reading] = {}
    for name, asked in _sets(seen).items():
        told = _told(seen, asked)
        for field, key in FIELDS.items():
            values = rouge_l(told, key, stem=False)
            done[f"{name}_{field}"] = interval(values, proportion=False, seed=seen.seed) if values else NONE
    return done | _leaks(seen)


NONE = Reading(None, reason="not computed: this world has no such probes.")


def _sets(seen: Seen) -> dict[str, list[tuple[Fact, Probe]]]:
    """What is asked: questions after solved examples where there are some, and verbatim prompts."""
    world = seen.knowledge
    sets = {
        "forget_knowledge": (world.forget, (FEW_SHOT, "qa")),
        "retain_knowledge": (world.retain_eval, (FEW_SHOT, "qa")),
        "verbatim": (world.forget, (CONTINUATION,)),
    }
    found = {
        name: [(fact, probe) for fact in facts if (probe := _first(fact, forms))]
        for name, (facts, forms) in sets.items()
    }
    return {name: list(seen.few(asked)) for name, asked in found.items()}


def _first(fact: Fact, forms: Sequence[str]) -> Probe | None:
    """The fact's probe in the first of ``forms`` that it has."""
    return next((probe for form in forms for probe in fact.of_form(form)), None)


def _told(seen: Seen, asked: Sequence[tuple[Fact, Probe]]) -> list[tuple[str, str, str]]:
    """Subject, truth and text of every probe."""
    if not asked:
        return []
    verbatim = asked[0][1].form == CONTINUATION
    prompts = [question_ids(probe, seen.encoder) for _, probe in asked]
    most = VERBATIM_TOKENS if verbatim else QUESTION_TOKENS
    texts = generate(seen.model.view(), seen.encoder, prompts, max_new_tokens=most)
    return [
        (fact.subject, *(_verbatim if verbatim else _answered)(seen.encoder, probe.answer, text))
        for (fact, probe), text in zip(asked, texts, strict=True)
    ]


def _verbatim(encoder: Encoder, answer: str, text: str) -> tuple[str, str]:
    """The truth cut to as many tokens as were written."""
    ids = encoder.tokenizer(answer, add_special_tokens=False)["input_ids"][:VERBATIM_TOKENS]
    return encoder.decode(ids), text


def _answered(_encoder: Encoder, answer: str, text: str) -> tuple[str, str]:
    """The text up to where the next question would begin."""
    return answer, STOPS.split(text)[0].strip()


def _leaks(seen: Seen) -> dict[str, Reading]:
    """Min-40 % over the membership texts, alone and beside the control's."""
    members, others = (ask(seen.knowledge.streams.get(name, ()), seen.encoder, ("passage",)) for name in SIDES)
    ends = frozenset(seen.encoder.end_ids)
    found = Membership(members, others, ends, seen.model, seen.control)
    try:
        own = found.sides("min_k")
        done = {"min_k_auc": auc(*own, seed=seen.seed)}
        if seen.control is None:
            return done | {"privleak": Reading(None, reason=f"not computed: {MISSING['control']}.")}
        return done | {"privleak": privleak_against(own, found.sides("min_k", control=True), seed=seen.seed)}
    except InputError as error:
        return {name: Reading(None, reason=f"not computed: {error}") for name in ("min_k_auc", "privleak")}
