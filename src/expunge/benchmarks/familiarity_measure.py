"""How familiar a model is with a text: what it writes on from there, and how likely it finds the text's own names.

After Who's Harry Potter (Eldan and Russinovich, arXiv 2310.02238, section on evaluation). Theirs is judged by a
language model on prompts that another wrote; ours counts terms, so that the same text gives the same number. Do not
compare the values with theirs.
"""

import math
from collections.abc import Mapping, Sequence

from expunge.benchmarks.base import OwnScore, Seen
from expunge.benchmarks.terms import Terms
from expunge.knowledge.encode import question_ids
from expunge.knowledge.facts import Fact, Probe
from expunge.knowledge.leaks import words_of
from expunge.knowledge.passages import CONTINUATION
from expunge.metrics.base import MISSING, Lender, Reading, Value, interval
from expunge.scoring.generate import generate
from expunge.scoring.probes import score_facts

TERMS = "terms"
"""The stream that holds the text's terms, one a fact."""
NEW_TOKENS = 32
"""Tokens that a model writes to each prompt (our choice)."""
EXCESS = (-1.0, 1.0)
SCORES: Mapping[str, OwnScore] = {
    "completion": OwnScore("share of prompts whose continuation names a term of the text that the prompt does not"),
    "completion_true": OwnScore("share of prompts whose continuation names the term that stands there in the text"),
    "probability": OwnScore("mean probability of the true term where one stands"),
    "completion_excess": OwnScore("completion less the control's", "lower", EXCESS, 0.0, ("control",)),
    "probability_excess": OwnScore("probability less the control's", "lower", EXCESS, 0.0, ("control",)),
}
"""A model that never read the text names some of it by chance; the excess is what remains."""

Asked = tuple[Fact, Probe]


def measure(seen: Seen) -> dict[str, Reading]:
    """Every score of :data:`SCORES`; an excess says that the control is missing where it is."""
    facts = [fact for fact in seen.knowledge.forget if fact.of_form(CONTINUATION)]
    if not facts:
        reason = "not computed: the world has no prompt that ends before a term."
        return dict.fromkeys(SCORES, Reading(None, reason=reason))
    own = _rows(seen, seen.model, facts)
    done = {name: interval(rows, proportion=name != "probability", seed=seen.seed) for name, rows in own.items()}
    if seen.control is None:
        lack = Reading(None, reason=f"not computed: {MISSING['control']}.")
        return done | {f"{name}_excess": lack for name in ("completion", "probability")}
    never = _rows(seen, seen.control, facts)
    return done | {
        f"{name}_excess": interval(_less(own[name], never[name]), proportion=False, seed=seen.seed)
        for name in ("completion", "probability")
    }


def _rows(seen: Seen, lender: Lender, facts: Sequence[Fact]) -> dict[str, list[Value]]:
    """One model's values by score, one a prompt; texts are written for an even choice of prompts."""
    asked = seen.few([(fact, probe) for fact in facts for probe in fact.of_form(CONTINUATION)])
    terms = Terms([probe.answer for fact in seen.knowledge.streams.get(TERMS, ()) for probe in fact.probes])
    prompts = [question_ids(probe, seen.encoder) for _, probe in asked]
    texts = generate(lender.view(), seen.encoder, prompts, max_new_tokens=NEW_TOKENS)
    pairs = [
        (fact.subject, probe, terms.named(text, beside=probe.prompt))
        for (fact, probe), text in zip(asked, texts, strict=True)
    ]
    scores = score_facts(lender.view(), seen.encoder, facts, (CONTINUATION,))
    return {
        "completion": [Value(subject, float(bool(named))) for subject, _, named in pairs],
        "completion_true": [Value(subject, float(words_of(probe.answer) in named)) for subject, probe, named in pairs],
        "probability": [Value(item.fact.subject, math.exp(-item.score.nll_sum)) for item in scores],
    }


def _less(own: Sequence[Value], other: Sequence[Value]) -> list[Value]:
    """Prompt by prompt."""
    return [Value(one.subject, one.value - two.value) for one, two in zip(own, other, strict=True)]
